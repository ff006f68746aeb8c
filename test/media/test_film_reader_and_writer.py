"""Reading and writing films; the other side of each test is PyAV itself."""

import resource
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from films import CORNERS, clicks, picture, write_film

from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import AudioChunk, MediaReader, VideoChunk
from avsol_ros.media.film_writer import MediaWriter

SECOND = 1_000_000_000


def read(path, **options):
    with MediaReader(path, **options) as reader:
        chunks = list(reader)
    frames = [chunk for chunk in chunks if isinstance(chunk, VideoChunk)]
    sound = [chunk for chunk in chunks if isinstance(chunk, AudioChunk)]
    return reader.info, frames, sound


def corners(image):
    height, width = image.shape[:2]
    y, x = height // 8, width // 8
    return {
        'top left': image[y, x],
        'top right': image[y, -x],
        'bottom left': image[-y, x],
        'bottom right': image[-y, -x],
    }


def assert_upright(image):
    for name, color in corners(image).items():
        assert np.abs(color.astype(int) - CORNERS[name]).max() < 25, name


def onsets(sound):
    """Seconds at which bursts begin, by the times of the chunks."""
    times = []
    for chunk in sound:
        loud = np.flatnonzero(np.abs(chunk.samples[:, 0].astype(int)) > 6000)
        if len(loud):
            time = chunk.time_ns / SECOND + loud[0] / chunk.sample_rate
            if not times or time - times[-1] > 0.5:
                times.append(time)
    return times


@pytest.mark.parametrize('rate, channels', [(44100, 2), (48000, 2), (48000, 1), (16000, 1)])
@pytest.mark.parametrize('frame_rate', [Fraction(25), Fraction(30), Fraction(30000, 1001)])
def test_film_of_a_camera(tmp_path, rate, channels, frame_rate):
    path = write_film(tmp_path / 'a.mp4', rate=rate, channels=channels, frame_rate=frame_rate)
    info, frames, sound = read(path)
    assert (info.width, info.height) == (160, 120)
    assert (info.sample_rate, info.channels) == (rate, channels)
    assert info.frame_rate == pytest.approx(float(frame_rate))
    assert info.duration_ns == pytest.approx(2 * SECOND, abs=0.1 * SECOND)
    assert len(frames) == round(2 * frame_rate)
    assert [frame.time_ns for frame in frames] == [
        pytest.approx(round(i / frame_rate * SECOND), abs=6000) for i in range(len(frames))
    ]
    assert all(
        frame.image.dtype == np.uint8 and frame.image.shape == (120, 160, 3) for frame in frames
    )
    assert_upright(frames[0].image)
    assert all(
        chunk.samples.dtype == np.int16
        and chunk.samples.shape[1] == channels
        and chunk.sample_rate == rate
        for chunk in sound
    )
    assert onsets(sound) == pytest.approx([0.0, 1.0], abs=0.003)
    heard = np.concatenate([chunk.samples for chunk in sound])
    wanted = clicks(2.0, rate, channels)
    assert np.corrcoef(heard[: len(wanted), 0], wanted[:, 0])[0, 1] > 0.95


def test_chunks_come_in_the_order_of_time_in_any_interleaving(tmp_path):
    path = write_film(tmp_path / 'a.mp4')
    with MediaReader(path) as reader:
        times = [chunk.time_ns for chunk in reader]
        assert times == sorted(times)
        assert [chunk.time_ns for chunk in reader] == times, 'a second iteration is the same'


@pytest.mark.parametrize('rotation, turn', [(90, 1), (180, 2), (270, 3)])
def test_a_phone_held_upright(tmp_path, rotation, turn):
    # The sensor's picture lies such that turning it clockwise makes it upright.
    def lying(index, width, height):
        size = (height, width) if turn % 2 else (width, height)
        return np.ascontiguousarray(np.rot90(picture(index, *size), turn))

    path = write_film(tmp_path / 'phone.mp4', rotation=rotation, draw=lying, seconds=0.5)
    info, frames, _ = read(path)
    assert (info.width, info.height) == ((120, 160) if turn % 2 else (160, 120))
    assert frames[0].image.shape == (info.height, info.width, 3)
    assert_upright(frames[0].image)


def test_pixels_that_are_not_square(tmp_path):
    path = write_film(tmp_path / 'a.mp4', aspect=Fraction(4, 3), seconds=0.5)
    info, frames, _ = read(path)
    assert (info.width, info.height) == (213, 120)
    assert_upright(frames[0].image)


def test_variable_frame_rate(tmp_path):
    times = [0.0, 0.04, 0.1, 0.3, 0.32, 0.9, 1.5, 1.52, 1.9]
    path = write_film(tmp_path / 'a.mp4', frame_times=[Fraction(str(t)) for t in times])
    _, frames, _ = read(path)
    assert [frame.time_ns / SECOND for frame in frames] == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize('offset', [0.5, -0.5])
def test_streams_that_begin_apart(tmp_path, offset):
    times = [Fraction(i, 25) + Fraction(max(-offset, 0)) for i in range(50)]
    path = write_film(
        tmp_path / 'a.mkv', frame_times=times, audio_offset=max(offset, 0), kind='matroska'
    )
    _, frames, sound = read(path)
    assert min(frames[0].time_ns, sound[0].time_ns) == 0
    distance = (sound[0].time_ns - frames[0].time_ns) / SECOND
    assert distance == pytest.approx(offset, abs=0.03)
    assert onsets(sound)[0] - frames[0].time_ns / SECOND == pytest.approx(offset, abs=0.005)


@pytest.mark.parametrize(
    'codec, kind',
    [
        ('pcm_s16le', 'matroska'),
        ('flac', 'matroska'),
        ('pcm_f32le', 'matroska'),
        ('pcm_u8', 'matroska'),
    ],
)
def test_sample_formats(tmp_path, codec, kind):
    path = write_film(tmp_path / 'a.mkv', audio_codec=codec, kind=kind)
    _, _, sound = read(path)
    heard = np.concatenate([chunk.samples for chunk in sound]).astype(int)
    wanted = clicks(2.0, 48000, 2).astype(int)
    assert heard.shape == wanted.shape
    assert np.abs(heard - wanted).max() <= (256 if codec == 'pcm_u8' else 1)


@pytest.mark.parametrize(
    'codec, dtype, step',
    [('pcm_s32le', np.int32, 1), ('flac', np.int16, 1), ('pcm_f32le', np.float32, 2.0**-15)],
)
def test_samples_in_the_decoders_own_type(tmp_path, codec, dtype, step):
    path = write_film(tmp_path / 'a.mkv', audio_codec=codec, kind='matroska')
    with av.open(str(path)) as container:
        own = [frame.to_ndarray() for frame in container.decode(audio=0)]
    expected = np.concatenate([part.reshape(-1, 2) for part in own])
    _, _, sound = read(path, native_sound=True)
    heard = np.concatenate([chunk.samples for chunk in sound])
    assert heard.dtype == dtype and np.array_equal(heard, expected)
    _, _, plain = read(path)
    assert all(chunk.samples.dtype == np.int16 for chunk in plain)


def test_frames_as_they_are_in_the_file(tmp_path):
    jpegs = [cv2.imencode('.jpg', picture(index)[..., ::-1])[1].tobytes() for index in range(20)]
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mjpeg', rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, 'yuvj420p'
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10)
        container.start_encoding()
        for index, data in enumerate(jpegs):
            packet = av.Packet(data)
            packet.stream, packet.is_keyframe = stream, True
            packet.pts = packet.dts = index
            packet.time_base = Fraction(1, 10)
            container.mux(packet)
    _, frames, _ = read(path, need_audio=False, encoded=True)
    assert [frame.encoded for frame in frames] == jpegs
    assert_upright(frames[3].image)
    assert all(frame.encoded is None for frame in read(path, need_audio=False)[1])
    filmed = write_film(tmp_path / 'b.mp4', seconds=0.5)
    assert all(frame.encoded is None for frame in read(filmed, encoded=True)[1])


def test_a_film_that_does_not_declare_its_length(tmp_path):
    path = tmp_path / 'streamed.mkv'
    declared = write_film(tmp_path / 'a.mp4', seconds=3)
    with (
        av.open(str(declared)) as whole,
        path.open('wb') as file,
        av.open(Written(file), 'w', format='matroska', options={'live': '1'}) as streamed,
    ):
        streams = [streamed.add_stream_from_template(stream) for stream in whole.streams]
        for packet in whole.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                streamed.mux(packet)
    with av.open(str(path)) as container:
        assert container.duration is None
    info, frames, _ = read(path)
    assert info.duration_ns == pytest.approx(3 * SECOND, abs=SECOND // 20)
    assert info.frame_rate == pytest.approx(25, abs=0.1) and len(frames) == 75
    MediaReader(path).check()


class Written:
    """File that cannot go back, like a pipe."""

    def __init__(self, file):
        self.write = file.write


def refusal(call, *arguments, **options):
    with pytest.raises(AvsolError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert '\n' not in text and len(text) < 250
    return text


def test_what_is_no_film(tmp_path):
    (tmp_path / 'text.mp4').write_text('hello\n' * 500)
    (tmp_path / 'text.txt').write_text('hello\n' * 500)
    (tmp_path / 'noise.mp4').write_bytes(np.random.default_rng(0).bytes(30_000))
    (tmp_path / 'empty.mp4').touch()
    cv2.imwrite(str(tmp_path / 'picture.png'), picture())
    for name in ('text.mp4', 'text.txt', 'noise.mp4', 'picture.png'):
        assert f'{tmp_path / name} is no media file' in refusal(MediaReader, tmp_path / name)
    assert 'is empty' in refusal(MediaReader, tmp_path / 'empty.mp4')
    assert 'does not exist' in refusal(MediaReader, tmp_path / 'missing.mp4')
    assert 'is a folder' in refusal(MediaReader, tmp_path)


def test_films_without_sound_or_pictures(tmp_path):
    silent = write_film(tmp_path / 'silent.mp4', audio=False)
    unseen = write_film(tmp_path / 'unseen.m4a', video=False, kind='mp4')
    assert 'silent.mp4 has no sound' in refusal(MediaReader, silent)
    assert 'unseen.m4a has no video' in refusal(MediaReader, unseen)
    info, frames, sound = read(silent, need_audio=False)
    assert (len(frames), len(sound), info.sample_rate) == (50, 0, 0)
    info, frames, sound = read(unseen, need_video=False)
    assert (len(frames), info.width, info.frame_rate) == (0, 0, 0)
    assert onsets(sound) == pytest.approx([0, 1], abs=0.003)


@pytest.mark.parametrize('share', [0.45, 0.6, 0.9])
@pytest.mark.parametrize('kind', ['mp4', 'matroska'])
def test_a_film_cut_off_in_the_middle(tmp_path, share, kind):
    whole = write_film(tmp_path / 'whole', seconds=4, kind=kind)
    MediaReader(whole).check()
    path = tmp_path / 'cut'
    content = whole.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    with MediaReader(path) as reader:
        frames = []
        with pytest.raises(AvsolError, match=r'breaks off at \d\.\d\d s of 4\.\d\d s') as caught:
            for chunk in reader:
                frames += [chunk] if isinstance(chunk, VideoChunk) else []
        assert 0 < len(frames) < 100
        told = float(str(caught.value).split('breaks off at ')[1].split()[0])
        assert told <= frames[-1].time_ns / SECOND + 0.2
        assert 'breaks off' in refusal(reader.check)


def test_a_film_whose_index_is_missing(tmp_path):
    whole = write_film(tmp_path / 'whole.mp4')
    path = tmp_path / 'cut.mp4'
    path.write_bytes(whole.read_bytes()[-5000:])
    assert 'no media file, or is truncated' in refusal(MediaReader, path)


def test_a_damaged_packet_costs_only_itself(tmp_path):
    path = write_film(tmp_path / 'a.mp4', seconds=4)
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    _, frames, _ = read(path)
    assert len(frames) > 70


@pytest.mark.parametrize('codec', ['aac', 'flac', 'pcm_s16le'])
def test_eight_channels(tmp_path, codec):
    """As many planes as a frame has places for: it has no mark where they end."""
    path = tmp_path / 'a.mkv'
    levels = np.arange(1, 9) * 1000
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=48000)
        stream.layout, stream.format = '7.1', 'fltp' if codec == 'aac' else 's16'
        for index in range(20):
            samples = np.tile(levels, 1024).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format='s16', layout='7.1')
            frame.sample_rate, frame.pts = 48000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _, _, sound = read(path, need_video=False)
    heard = np.concatenate([chunk.samples for chunk in sound])[4000:16000]
    assert heard.shape == (12000, 8)
    assert np.abs(heard - levels).max() <= (300 if codec == 'aac' else 0)


def test_the_writer_against_pyav(tmp_path):
    path = tmp_path / 'made' / 'a.mp4'
    rate = 44100
    sound = clicks(2.0, rate, 2)
    with MediaWriter(path, 160, 120, 30000 / 1001, rate, 2) as writer:
        for index in range(60):
            writer.add_frame(picture(index))
            at = index * rate // 30
            writer.add_audio(sound[at : at + rate // 30])
        assert not path.exists(), 'it takes its place only when whole'
    assert [entry.name for entry in path.parent.iterdir()] == ['a.mp4']
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ('h264', 'yuv420p')
        assert audio.codec_context.name == 'aac' and audio.codec_context.sample_rate == rate
        frames = list(container.decode(video))
    assert [float(frame.pts * frame.time_base) for frame in frames] == pytest.approx(
        [i * 1001 / 30000 for i in range(60)], abs=1e-6
    )
    assert np.abs(frames[7].to_ndarray(format='rgb24').astype(int) - picture(7)).mean() < 6
    with av.open(str(path)) as container:
        decoded = list(container.decode(audio=0))
    heard = np.concatenate([frame.to_ndarray()[0] for frame in decoded])
    start = float(decoded[0].pts * decoded[0].time_base)
    first, second = (np.flatnonzero(np.abs(heard[at:]) > 0.2)[0] + at for at in (0, rate // 2))
    assert start + first / rate == pytest.approx(0, abs=0.002)
    assert start + second / rate == pytest.approx(1, abs=0.002)


def test_times_that_are_given_are_kept(tmp_path):
    times = [0, 40_000_000, 500_000_000, 1_700_000_000]
    burst = clicks(1.0, 16000, 1)[:2000]
    with MediaWriter(tmp_path / 'a.mp4', 64, 48, 25, 16000) as writer:
        for time in times:
            writer.add_frame(picture(0, 64, 48), time)
        writer.add_audio(burst, 250_000_000)
        writer.add_audio(burst, 1_500_000_000)
        writer.add_audio(burst, 1_500_000_000)  # has been heard already
    _, frames, sound = read(tmp_path / 'a.mp4')
    assert [frame.time_ns for frame in frames] == pytest.approx(times, abs=20_000)
    assert onsets(sound) == pytest.approx([0.25, 1.5], abs=0.003)


@pytest.mark.parametrize('rate, channels', [(22222, 1), (48000, 3), (96000, 2)])
def test_unusual_sound_is_made_to_fit(tmp_path, rate, channels):
    with MediaWriter(tmp_path / 'a.mp4', 64, 48, 25, rate, channels) as writer:
        for index in range(50):
            writer.add_frame(picture(index, 64, 48))
        writer.add_audio(clicks(2.0, rate, channels).astype(np.float32) / 32768)
    _, _, sound = read(tmp_path / 'a.mp4')
    assert onsets(sound) == pytest.approx([0, 1], abs=0.005)


def test_odd_sizes_keep_every_pixel(tmp_path):
    with MediaWriter(tmp_path / 'a.mp4', 161, 121, 25) as writer:
        writer.add_frame(picture(0, 161, 121))
    info, frames, _ = read(tmp_path / 'a.mp4', need_audio=False)
    assert (info.width, info.height) == (162, 122)
    assert_upright(frames[0].image[:121, :161])


def test_an_exception_leaves_the_old_film(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'old')
    with pytest.raises(RuntimeError), MediaWriter(path, 64, 48, 25) as writer:
        writer.add_frame(picture(0, 64, 48))
        raise RuntimeError
    assert path.read_bytes() == b'old'
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_in_one_line(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0)

    def write():
        with MediaWriter(tmp_path / 'a.mp4', 320, 240, 25, 16000) as writer:
            for _ in range(100):
                writer.add_frame(noise.integers(0, 256, (240, 320, 3), np.uint8))
                writer.add_audio(np.zeros((640, 1), np.int16))

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        assert 'a.mp4 (File too large)' in refusal(write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_what_the_writer_refuses(tmp_path):
    assert 'ends in one of' in refusal(MediaWriter, tmp_path / 'a.txt', 64, 48, 25)
    assert 'cannot write' in refusal(MediaWriter, tmp_path / 'a.mp4', 0, 48, 25)
    (tmp_path / 'file').touch()
    assert 'cannot write' in refusal(MediaWriter, tmp_path / 'file' / 'a.mp4', 64, 48, 25)
    with MediaWriter(tmp_path / 'a.mp4', 64, 48, 25) as writer:
        assert 'takes frames of shape' in refusal(writer.add_frame, picture(0, 32, 32))
        writer.add_frame(picture(0, 64, 48), SECOND)
        assert 'in the order' in refusal(writer.add_frame, picture(0, 64, 48), SECOND)
        assert 'without sound' in refusal(writer.add_audio, np.zeros((5, 1), np.int16))
