"""Films as phones and cameras make them, written with PyAV alone, for tests."""

from fractions import Fraction

import av
import numpy as np

CORNERS = {
    'top left': (230, 30, 30),
    'top right': (30, 210, 30),
    'bottom left': (30, 30, 230),
    'bottom right': (230, 220, 40),
}


def picture(index=0, width=160, height=120):
    """Grey image with four coloured corners and a white square that moves on with the index."""
    image = np.full((height, width, 3), 90, np.uint8)
    h, w = height // 4, width // 4
    image[:h, :w] = CORNERS['top left']
    image[:h, -w:] = CORNERS['top right']
    image[-h:, :w] = CORNERS['bottom left']
    image[-h:, -w:] = CORNERS['bottom right']
    x = w + index * 2 % w
    image[height // 2 - 8 : height // 2 + 8, x : x + 16] = 255
    return image


def clicks(seconds, rate, channels):
    """Silence with a short loud burst at each whole second: (n, channels) int16."""
    samples = np.zeros((round(seconds * rate), channels), np.int16)
    burst = 20000 * np.sin(2 * np.pi * 1000 * np.arange(rate // 50) / rate)
    for second in range(int(seconds)):
        part = samples[second * rate : second * rate + len(burst)]
        part[:] = burst[: len(part), None]
    return samples


def write_film(
    path,
    *,
    seconds=2.0,
    width=160,
    height=120,
    frame_rate=Fraction(25),
    rate=48000,
    channels=2,
    rotation=None,
    frame_times=None,
    audio_offset=0.0,
    video=True,
    audio=True,
    bframes=True,
    aspect=None,
    kind=None,
    audio_codec='aac',
    draw=picture,
    sound=clicks,
):
    """
    Write a film.

    :param rotation: degrees by which a player has to turn the pictures clockwise.
    :param frame_times: seconds of each frame, in place of an even frame rate.
    :param audio_offset: seconds by which the sound begins later than the pictures.
    :param draw: picture of an index, width and height.
    :param sound: samples of a length in seconds, rate and channels.
    """
    options = {'movflags': '+faststart'} if kind in (None, 'mp4', 'mov') else {}
    with av.open(str(path), 'w', format=kind, options=options) as container:
        packets = []
        if video:
            stream = container.add_stream(
                'libx264',
                rate=frame_rate,
                options={
                    'preset': 'ultrafast' if not bframes else 'veryfast',
                    'crf': '18',
                    'bf': '2' if bframes else '0',
                },
            )
            stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
            stream.codec_context.time_base = Fraction(1, 90000)
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                # FFmpeg counts counter-clockwise.
                stream.set_display_rotation(-rotation)
            count = round(seconds * frame_rate)
            times = frame_times or [Fraction(i) / frame_rate for i in range(count)]
        if audio:
            track = container.add_stream(audio_codec, rate=rate)
            track.layout = {1: 'mono', 2: 'stereo'}[channels]
        if video:
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(draw(index, width, height), format='rgb24')
                frame.pts = round(Fraction(time) * 90000)
                frame.time_base = Fraction(1, 90000)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        if audio:
            samples = sound(seconds, rate, channels)
            frame = av.AudioFrame.from_ndarray(
                samples.reshape(1, -1), format='s16', layout=track.layout.name
            )
            frame.sample_rate = rate
            frame.pts = round(audio_offset * rate)
            frame.time_base = Fraction(1, rate)
            packets += track.encode(frame)
            packets += track.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path
