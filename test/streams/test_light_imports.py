"""What reading raw sound needs: NumPy, and nothing that a small robot may lack."""

import subprocess
import sys

READ_PCM = """
import sys
for name in ('av', 'cv2', 'torch', 'torchaudio', 'rclpy'):
    sys.modules[name] = None  # importing it now raises ImportError

from array import array
from types import SimpleNamespace as Record

from avsol_ros.messages.audio import parse_audio_format
from avsol_ros.streams.audio_reader import AudioReader
from avsol_ros.streams.audio_stream import AudioStream

reader = AudioReader(print, parse_audio_format('S16LE', 8000, 1))
header = Record(stamp=Record(sec=1, nanosec=0), frame_id='ear')
data = array('B', array('h', [16384] * 80).tobytes())
msg = Record(header=header, audio=Record(data=data))
((start_ns, samples, rate),) = reader.add(msg, 0)
stream = AudioStream(rate, 1)
chunks = [*stream.process(start_ns, samples), *stream.flush()]
print(chunks[0][0], sum(len(chunk) for _, chunk in chunks), float(chunks[0][1][40]))
"""


def test_raw_sound_is_read_without_pyav_opencv_pytorch_and_ros():
    done = subprocess.run([sys.executable, '-c', READ_PCM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    begin_ns, count, level = done.stdout.split()
    assert (int(begin_ns), int(count)) == (10**9, 160)
    assert abs(float(level) - 0.5) < 1e-3
