"""Cut recordings of every container that can be written here: used whole or refused, never shortened silently."""

import struct

import av
import numpy as np
import pytest

from clips import AVI, MP4, Codecs, Take, write_clip
from elision.media.clip import TOLERANCE
from elision.media.extract import MediaError, MediaSettings, extract_media

FEW = MediaSettings(windows=4, size=32)
SECONDS = 2.0

# (container, sound codec, samples per second): its header, or its last page, says how long it is.
PROMISING = [
    ("wav", "pcm_s16le", 16000),
    ("wav", "pcm_f32le", 48000),
    ("wav", "pcm_mulaw", 8000),
    ("wav", "adpcm_ms", 44100),
    ("wav", "libmp3lame", 44100),
    ("w64", "pcm_s16le", 44100),
    ("mp3", "libmp3lame", 44100),
    ("mp3", "libmp3lame", 16000),
    ("flac", "flac", 44100),
    ("ogg", "flac", 44100),
    ("ogg", "libopus", 48000),
    ("aiff", "pcm_s16be", 44100),
    ("au", "pcm_s16be", 44100),
    ("caf", "pcm_s16le", 44100),
    ("caf", "alac", 44100),
    ("flv", "aac", 44100),
    ("flv", "libmp3lame", 44100),
    ("mp4", "aac", 44100),
    ("ipod", "alac", 44100),
    ("mov", "pcm_s16le", 44100),
    ("matroska", "aac", 44100),
    ("matroska", "pcm_s16le", 44100),
    ("webm", "libopus", 48000),
    ("avi", "pcm_s16le", 44100),
    ("avi", "libmp3lame", 44100),
    ("asf", "mp2", 44100),
]
# Packets one after another and no word on how many: a cut one is a shorter recording.
SILENT_ON_LENGTH = [
    ("mpegts", "mp2", 44100),
    ("mpegts", "aac", 44100),
    ("mpeg", "mp2", 44100),
    ("adts", "aac", 44100),
    ("mp2", "mp2", 44100),
    ("amr", "libopencore_amrnb", 8000),
]


def written(path, form, codec, rate, options=(), take=Take(seconds=SECONDS, picture=False, channels=1)):  # noqa: B008
    """Return the file, or skip the test where this FFmpeg cannot write it."""
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg does not write {codec}")
    return write_clip(path, take, Codecs(form, "mpeg4", codec, rate, (), tuple(options)))


def heard(path, end=None):
    """Return the seconds that are used of the file's sound, or why it is refused."""
    try:
        found = extract_media({"audio": path}, None, end, FEW, "key")
    except MediaError as error:
        return error.reason
    assert "audio" in found.values, f"{path.name}: {found.missing}"
    return found.duration


def cuts(path):
    """Yield (share, a copy of the file cut there) for ten random places."""
    content = path.read_bytes()
    for share in np.random.default_rng(0).uniform(size=10):
        cut = path.with_name("cut_" + path.name)
        cut.write_bytes(content[: max(int(share * len(content)), 1)])
        yield share, cut


@pytest.mark.parametrize("form, codec, rate", PROMISING)
def test_cut_sound_is_used_whole_or_refused(tmp_path, form, codec, rate):
    path = written(tmp_path / f"a.{form}", form, codec, rate)
    assert heard(path) == pytest.approx(SECONDS, abs=0.1)
    outcomes = {share: heard(cut) for share, cut in cuts(path)}
    shortened = {share: used for share, used in outcomes.items() if not isinstance(used, str)}
    assert all(used > SECONDS - TOLERANCE - 0.03 for used in shortened.values()), outcomes  # 0.03: a packet
    assert len(outcomes) - len(shortened) >= 8  # shares above 0.9 may lie in what follows the sound
    reasons = [o for o in outcomes.values() if isinstance(o, str)]
    assert all("truncated" in o or "is not a recording" in o or "is damaged" in o for o in reasons), outcomes


@pytest.mark.parametrize("form, codec, rate", SILENT_ON_LENGTH)
def test_cut_sound_without_a_promise_is_a_shorter_recording(tmp_path, form, codec, rate):
    path = written(tmp_path / f"a.{form}", form, codec, rate)
    assert heard(path) == pytest.approx(SECONDS, abs=0.1)
    used = {share: heard(cut) for share, cut in cuts(path) if share > 0.1}
    assert all(seconds == pytest.approx(share * SECONDS, abs=0.15) for share, seconds in used.items()), used


@pytest.mark.parametrize(
    "form, codec, options",
    [
        ("mp3", "libmp3lame", {"write_xing": "0"}),
        ("flv", "libmp3lame", {"flvflags": "no_duration_filesize"}),
        ("matroska", "pcm_s16le", {"live": "1"}),
        ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    ],
)
def test_what_was_written_without_a_length_is_used(tmp_path, form, codec, options):
    """FFmpeg estimates its length from its size and bit rate: that is no promise."""
    path = written(tmp_path / "a", form, codec, 44100, options.items())
    assert heard(path) == pytest.approx(SECONDS, abs=0.1)


def plain_mp3(path, bit_rate, seconds):
    """Return an MP3 of which no header counts the frames."""
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="mono")
        stream.bit_rate = bit_rate
        sine = 0.5 * np.sin(np.arange(44100 * seconds) / 10)
        whole = av.AudioFrame.from_ndarray(sine.astype(np.float32)[None], "fltp", "mono")
        whole.sample_rate, whole.pts = 44100, 0
        cut = av.AudioResampler(stream.format, "mono", 44100, frame_size=1152)
        for frame in [*cut.resample(whole), *cut.resample(None), None]:
            container.mux(stream.encode(frame))
    return path.read_bytes()


def test_an_mp3_that_counts_no_frames_promises_nothing(tmp_path):
    """FFmpeg estimates by the first frame's bit rate that it is nearly twice as long."""
    path = tmp_path / "a.mp3"
    path.write_bytes(plain_mp3(tmp_path / "1.mp3", 32000, 1) + plain_mp3(tmp_path / "2.mp3", 160000, 2))
    with av.open(str(path)) as container:
        assert container.duration > 5e6
    assert heard(path) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("share", [1, 0.5])
def test_an_mp3_with_a_long_tag_keeps_its_promise(tmp_path, share):
    path = written(tmp_path / "a.mp3", "mp3", "libmp3lame", 44100, {"id3v2_version": "0"}.items())
    content = path.read_bytes()
    body = b"PRIV" + (100_000).to_bytes(4, "big") + bytes(100_002)
    size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + body + content[: round(share * len(content))])
    assert heard(path) == pytest.approx(SECONDS, abs=0.1) if share == 1 else "is truncated" in heard(path)


def wav(path, size=None, riff=b"RIFF", between=b"", after=b"", kept=None):
    """Write two seconds of a tone, and of that ``kept`` bytes, under a header that says ``size``."""
    sound = (8000 * np.sin(np.arange(32000) / 6)).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    head = b"WAVE" + between + form + struct.pack("<4sI", b"data", len(sound) if size is None else size)
    total = 0xFFFFFFFF if riff == b"RF64" else len(head) + len(sound) + len(after)
    path.write_bytes(struct.pack("<4sI", riff, total) + head + sound[:kept] + after)
    return path


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_promises_nothing(tmp_path, size):
    assert heard(wav(tmp_path / "a.wav", size, kept=32000)) == pytest.approx(1.0, abs=0.01)


def test_a_wav_with_other_chunks(tmp_path):
    odd = struct.pack("<4sI", b"odd ", 3) + b"abc\0"
    tail = struct.pack("<4sI", b"LIST", 4000) + bytes(4000)
    assert heard(wav(tmp_path / "a.wav", between=odd, after=tail)) == pytest.approx(2.0, abs=0.01)
    assert heard(wav(tmp_path / "b.wav", between=odd, after=tail[:10])) == pytest.approx(2.0, abs=0.01)
    assert "it ends at 1.50 s of 2.00 s" in heard(wav(tmp_path / "c.wav", between=odd, kept=48000))


def test_a_wav_of_64_bits(tmp_path):
    wide = struct.pack("<4sIQQQI", b"ds64", 28, 64080, 64000, 32000, 0)
    path = wav(tmp_path / "a.wav", 0xFFFFFFFF, b"RF64", wide)
    assert heard(path) == pytest.approx(2.0, abs=0.01)
    path.write_bytes(path.read_bytes()[:-16000])
    assert "it ends at 1.50 s of 2.00 s" in heard(path)


def test_a_wav_of_which_the_header_is_left(tmp_path):
    assert "is truncated: it ends at 0.00 s of 2.00 s" in heard(wav(tmp_path / "a.wav", kept=0))


def test_a_piece_that_a_cut_file_holds_is_used(tmp_path):
    path = wav(tmp_path / "a.wav", kept=48000)
    assert heard(path, 1.4) == pytest.approx(1.4) and heard(path, 1.5) == pytest.approx(1.5)
    assert "is truncated" in heard(path, 1.8)


@pytest.fixture(scope="module")
def fast():
    return Codecs("mp4", "libx264", "aac", 48000, MP4.picture_options, (("movflags", "faststart"),))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_cut_mp4_for_its_sound_is_truncated_also_beside_a_good_video(tmp_path, fast, share):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=4.0), fast)
    good = write_clip(tmp_path / "good.mp4", Take(seconds=2.0))
    content = path.read_bytes()
    beginning = content.index(b"mdat") + 8
    path.write_bytes(content[: beginning + int(share * (len(content) - beginning))])
    assert "is truncated" in heard(path)
    with pytest.raises(MediaError, match=r"a\.mp4 is truncated: it ends at \d\.\d\d s of 4\.0\d s"):
        extract_media({"visual": good, "audio": path}, None, None, FEW, "key")


def test_a_cut_mp4_without_any_of_its_sound_left_is_truncated(tmp_path, fast):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=4.0), fast)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 12])
    assert heard(path) == "is truncated: it ends at 0.00 s of 4.00 s"


@pytest.mark.parametrize("codecs", [MP4, AVI, Codecs("matroska", "mpeg4", "mp2", 44100)])
@pytest.mark.parametrize("start, seconds", [(0.75, 0.5), (0.75, 2.75), (0.0, 0.5)])
def test_sound_that_is_shorter_or_longer_than_the_picture_is_no_truncation(tmp_path, codecs, start, seconds):
    take = Take(seconds=2.0, sound_start=start, sound_seconds=seconds)
    found = extract_media(
        dict.fromkeys(("visual", "audio"), write_clip(tmp_path / "a", take, codecs)), None, None, FEW, "a"
    )
    assert set(found.values) == {"visual", "audio"}


def test_an_ogg_stream_that_does_not_end(tmp_path):
    path = written(tmp_path / "a.ogg", "ogg", "libopus", 48000)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"OggS") + 5] &= ~4
    path.write_bytes(content)
    assert "without a last page" in heard(path)
    assert heard(path, 1.0) == pytest.approx(1.0, abs=0.01)


def test_a_length_in_asf_that_was_written_live_is_no_promise(tmp_path):
    path = written(tmp_path / "a.wma", "asf", "mp2", 44100)
    content = bytearray(path.read_bytes())
    content[content.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 88] |= 1
    path.write_bytes(content[: len(content) // 2])
    assert heard(path) < 1.5
