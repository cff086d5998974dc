"""Files that are broken, hostile, or not what their names say: a reason, never a crash."""

import io
import os
import pickle
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clips import AVI, MP4, MPG, Take, read_number, write_clip
from elision.media import clip as clip_module
from elision.media.clip import OpenClip
from elision.media.extract import MediaError, MediaSettings, extract_media

FEW = MediaSettings(windows=5)


def take_from(path, settings=FEW, start=None, end=None):
    return extract_media({"visual": path, "audio": path}, start, end, settings, "key")


@pytest.fixture(scope="module")
def mp4(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("whole") / "whole.mp4", Take(seconds=4.0)).read_bytes()


@pytest.fixture(scope="module")
def faststart(tmp_path_factory):
    codecs = MP4.__class__("mp4", "libx264", "aac", 48000, MP4.picture_options, (("movflags", "faststart"),))
    return write_clip(tmp_path_factory.mktemp("fast") / "fast.mp4", Take(seconds=4.0), codecs).read_bytes()


def test_a_title_that_is_no_utf_8_makes_no_recording_unreadable(mp4, tmp_path):
    """Of every PyAV that is allowed, whatever `av.open` has to be told for it."""
    plain, titled = tmp_path / "plain.mp4", tmp_path / "titled.mp4"
    plain.write_bytes(mp4)
    with av.open(str(plain)) as source, av.open(str(titled), "w") as copy:
        copy.metadata["title"] = "a cafe in Koeln"
        streams = {s.index: copy.add_stream_from_template(s) for s in (*source.streams.video, *source.streams.audio)}
        for packet in source.demux(*source.streams.video, *source.streams.audio):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    content = titled.read_bytes()
    assert b"a cafe in" in content
    titled.write_bytes(content.replace(b"a cafe in", b"a caf\xe9 in"))
    assert take_from(titled).values.keys() == {"visual", "audio"}


def test_zero_bytes(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match=r"empty\.mp4 has zero bytes"):
        take_from(tmp_path / "empty.mp4")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MediaError, match="does not exist"):
        take_from(tmp_path / "nowhere.mp4")


def test_a_folder(tmp_path):
    with pytest.raises(MediaError, match="is not a file"):
        take_from(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="is not a file"):
        take_from(tmp_path / "pipe.mp4")


def test_no_permission(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "secret.mp4", Take(seconds=0.2))
    if os.geteuid() == 0:  # root may read everything

        def refuse(self, *arguments, **options):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", refuse)
    path.chmod(0)
    with pytest.raises(MediaError, match="permission denied"):
        take_from(path)


def test_an_mp4_cut_before_its_index(tmp_path, mp4):
    path = tmp_path / "cut.mp4"
    path.write_bytes(mp4[: len(mp4) // 2])
    with pytest.raises(MediaError, match="truncated or damaged mp4"):
        take_from(path)


def test_an_mp4_cut_after_its_index(tmp_path, faststart):
    path = tmp_path / "cut.mp4"
    path.write_bytes(faststart[: len(faststart) // 2])
    with pytest.raises(MediaError, match=r"is truncated: it ends at \d\.\d\d s of 4\.0\d s"):
        take_from(path)
    with OpenClip.open(path) as clip:
        end = min(clip.picture.end, clip.sound.end)
    assert 0.5 < end < 3.5
    found = take_from(path, start=0.0, end=end)  # a piece that is there is used
    numbers = [read_number(jpeg) for jpeg in found.values["visual"]]
    assert np.abs(numbers - (np.linspace(0.25, end - 0.25, 5) * 25).astype(int)).max() <= 6  # a window's half


def test_an_avi_cut_in_the_middle(tmp_path):
    whole = write_clip(tmp_path / "whole.avi", Take(seconds=4.0), AVI).read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="is truncated"):
        take_from(path)


def test_an_mpeg_cut_in_the_middle_is_a_shorter_clip(tmp_path):
    """MPEG-1 does not say how long it is."""
    whole = write_clip(tmp_path / "whole.mpg", Take(seconds=4.0), MPG).read_bytes()
    path = tmp_path / "cut.mpg"
    path.write_bytes(whole[: len(whole) // 2])
    assert 1 < take_from(path).duration < 3


def test_an_avi_that_does_not_know_its_length(tmp_path):
    whole = bytearray(write_clip(tmp_path / "whole.avi", Take(seconds=2.0), AVI).read_bytes())
    header = whole.index(b"avih") + 8
    whole[header + 16 : header + 20] = bytes(4)  # total frames
    for stream in (whole.index(b"strh"), whole.index(b"strh", whole.index(b"strh") + 4)):
        whole[stream + 8 + 32 : stream + 8 + 36] = bytes(4)  # length
    del whole[whole.index(b"idx1") :]
    path = tmp_path / "unfinished.avi"
    path.write_bytes(whole)
    found = take_from(path)
    assert found.duration == pytest.approx(2.0, abs=0.05)
    assert [read_number(jpeg) for jpeg in found.values["visual"]] == [6, 15, 25, 34, 43]


@pytest.mark.parametrize("text", ["just a text\n" * 50, "#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile {}\n"])
def test_a_text_named_mp4(tmp_path, text):
    """A playlist neither: it could lead to any file or address."""
    other = write_clip(tmp_path / "other.mp4", Take(seconds=0.5))
    path = tmp_path / "text.mp4"
    path.write_text(text.format(other))
    with pytest.raises(MediaError, match="is a text file, not a recording"):
        take_from(path)


def test_another_format_under_a_wrong_extension_is_read(tmp_path):
    path = tmp_path / "in_truth_avi.mp4"
    path.write_bytes(write_clip(tmp_path / "a.avi", Take(seconds=2.0), AVI).read_bytes())
    assert [read_number(jpeg) for jpeg in take_from(path).values["visual"]] == [6, 15, 25, 34, 43]


def test_an_address_as_a_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match="does not exist"):
        take_from(Path("http://127.0.0.1/a.mp4"))


def test_a_container_without_picture_and_sound(tmp_path, mp4):
    path = tmp_path / "hollow.mp4"
    path.write_bytes(mp4.replace(b"trak", b"free"))
    with pytest.raises(MediaError, match="holds neither picture nor sound"):
        take_from(path)


def test_sound_after_a_stream_of_another_kind(tmp_path, mp4):
    path = tmp_path / "telemetry.mp4"
    path.write_bytes(mp4.replace(b"vide", b"meta").replace(b"avc1", b"mett"))
    found = take_from(path)
    assert found.missing == {"visual": "no picture in telemetry.mp4"}
    assert found.values["audio"].max() > -4


def test_a_cover_is_no_picture(tmp_path):
    path = tmp_path / "song.mp3"
    sound = write_clip(tmp_path / "a.avi", Take(seconds=1.0, picture=False), AVI)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG")
    with av.open(str(sound)) as source, av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=44100) if "libmp3lame" in av.codecs_available else None
        if stream is None:
            pytest.skip("this FFmpeg writes no MP3")
        for frame in source.decode(audio=0):
            for piece in av.AudioResampler(stream.format, stream.layout, 44100).resample(frame):
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    picture = b"\0image/jpeg\0\3\0" + buffer.getvalue()
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + frame + path.read_bytes())
    with av.open(str(path)) as container:
        assert container.streams.video  # FFmpeg shows the cover as a stream
    found = take_from(path)
    assert found.missing == {"visual": "no picture in song.mp3"}
    assert set(found.values) == {"audio"}


def damaged(whole: bytes, begin: float, end: float, kind: str) -> bytes:
    """With random bytes, or zeros, over a part of its payload."""
    broken = bytearray(whole)
    payload = whole.index(b"mdat") + 8
    length = len(whole) - payload if whole.index(b"moov") < payload else whole.index(b"moov") - payload
    first, last = payload + int(begin * length), payload + int(end * length)
    noise = np.random.default_rng(0).integers(0, 256, last - first, dtype=np.uint8).tobytes()
    broken[first:last] = {"noise": noise, "zeros": bytes(last - first)}[kind]
    return bytes(broken)


@pytest.mark.parametrize(
    "modality, message", [("visual", "is damaged, or has no picture, at"), ("audio", "the sound from")]
)
@pytest.mark.parametrize("kind", ["noise", "zeros"])
def test_damage_in_the_middle_names_the_place(tmp_path, mp4, modality, message, kind):
    path = tmp_path / "damaged.mp4"
    path.write_bytes(damaged(mp4, 0.3, 0.7, kind))
    with pytest.raises(MediaError, match=rf"{message} 1\.\d\d s|{message} 2\.\d\d s"):
        extract_media({modality: path}, None, None, MediaSettings(windows=30), "key")


def test_a_little_damage_is_passed_over(tmp_path):
    """One unreadable frame between key frames: its neighbours lie within a window's half."""
    path = write_clip(tmp_path / "a.mp4", Take(seconds=3.0, gop=5, sound=False))
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size, p.pts * float(p.time_base)) for p in container.demux(video=0) if p.size]
    broken = bytearray(path.read_bytes())
    for pos, size, at in packets:
        if 1.4 <= at < 1.5:
            broken[pos : pos + size] = bytes(size)
    path.write_bytes(broken)
    found = extract_media({"visual": path}, None, None, MediaSettings(windows=11), "key")
    numbers = []
    for jpeg in found.values["visual"]:
        try:
            numbers.append(read_number(jpeg))
        except AssertionError:  # concealed
            numbers.append(-1)
    expected = (np.linspace(0.25, 2.75, 11) * 25 + 1e-6).astype(int)
    assert sum(a == b for a, b in zip(numbers, expected, strict=True)) >= 9


def test_pictures_too_large_or_too_thin_are_refused(tmp_path):
    for size, message in (((4, 512), "too thin"), ((512, 4), "too thin")):
        picture = Take(
            seconds=0.2, width=size[0], height=size[1], sound=False, paint=lambda n, w, h: np.zeros((h, w, 3), np.uint8)
        )
        path = write_clip(tmp_path / "thin.avi", picture, AVI)
        with pytest.raises(MediaError, match=message):
            extract_media({"visual": path}, None, None, FEW, "key")


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=0.5))
    monkeypatch.setattr("elision.media.image.MAX_PIXELS", 100 * 100)
    with pytest.raises(MediaError, match="has pictures of 192 x 144 pixels: expected at most"):
        take_from(path)


def test_a_clip_of_too_many_packets_or_hours_is_refused(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=0.5))
    monkeypatch.setattr(clip_module, "MAX_PACKETS", 10)
    with pytest.raises(MediaError, match="more than 10 packets"):
        take_from(path)
    monkeypatch.undo()
    monkeypatch.setattr(clip_module, "MAX_HOURS", 0.0001)
    with pytest.raises(MediaError, match="hours"):
        take_from(path)


def test_errors_survive_the_way_between_processes():
    error = pickle.loads(pickle.dumps(MediaError(Path("a.mp4"), "has zero bytes")))
    assert (str(error), error.file, error.reason) == ("a.mp4 has zero bytes", Path("a.mp4"), "has zero bytes")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_of_any_format_become_a_square_jpeg(tmp_path, form, mode):
    path = tmp_path / "image.xyz"
    Image.new(mode, (300, 200), "white").save(path, form)
    found = extract_media({"image": path}, None, None, MediaSettings(size=64), "key")
    image = Image.open(io.BytesIO(found.values["image"]))
    assert (image.format, image.size, image.mode) == ("JPEG", (64, 64), "RGB")
    assert np.asarray(image).min() > 245
    assert found.duration == 0


def test_an_image_is_turned_as_its_exif_says_and_cut_in_the_middle(tmp_path):
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :100, 0] = 250
    picture[:, 100:, 2] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95, exif=exif)
    found = extract_media({"image": tmp_path / "a.jpg"}, None, None, MediaSettings(size=50), "key")
    pixels = np.asarray(Image.open(io.BytesIO(found.values["image"]))).astype(int)
    assert (pixels[:20, :, 0] > 200).all()
    assert (pixels[30:, :, 2] > 200).all()


def test_images_that_cannot_be_used(tmp_path):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    wrong = {
        "empty.png": (b"", "is not an image"),
        "text.png": (b"hello", "is not an image"),
        "cut.png": (buffer.getvalue()[:5000], "is truncated or damaged"),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is not an image"),
    }
    for name, (content, message) in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MediaError, match=message):
            extract_media({"image": tmp_path / name}, None, None, FEW, "key")
    Image.new("1", (9000, 10)).save(tmp_path / "wide.png")
    with pytest.raises(MediaError, match="9000 x 10 pixels"):
        extract_media({"image": tmp_path / "wide.png"}, None, None, FEW, "key")
    with pytest.raises(MediaError, match="does not exist"):
        extract_media({"image": tmp_path / "nowhere.png"}, None, None, FEW, "key")
