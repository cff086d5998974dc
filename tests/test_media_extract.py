"""Clips with known content: each window holds the frame and the tone that it should."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

import clips
from clips import AVI, MKV, MP4, MPG, Take, read_number, tone, waveform, write_clip
from elision.errors import InputError
from elision.media import audio, video
from elision.media.audio import waveforms
from elision.media.clip import OpenClip
from elision.media.extract import MediaError, MediaSettings, Mel, extract_media
from elision.media.spectrogram import log_mel
from elision.media.track import merge

CODECS = {"mp4": MP4, "avi": AVI, "mpg": MPG, "mkv": MKV}
FEW = MediaSettings(windows=7)


def both(path):
    return {"visual": path, "audio": path}


def shown(times, at):
    """The number of the frame shown at a time: of the last that has appeared."""
    return max((n for n, time in enumerate(times) if time <= at + 1e-6), default=0)


def stamped(path):
    """[(seconds from the first frame, the number painted in)] of a whole clip, decoded plainly."""
    with av.open(str(path)) as container:
        frames = [(float(f.time), read_number(f.to_ndarray(format="rgb24"))) for f in container.decode(video=0)]
    return [(time - frames[0][0], number) for time, number in frames]


def centres(seconds, windows=7, length=0.5, start=0.0):
    return [start + i * (seconds - length) / (windows - 1) + length / 2 for i in range(windows)]


def bands_of(hertz):
    """The bands of the default spectrogram whose triangles contain a frequency."""
    edges = 700 * (10 ** (np.linspace(*2595 * np.log10(1 + np.array([50, 8000]) / 700), 66) / 2595) - 1)
    return {band for band in range(64) if edges[band] < hertz < edges[band + 2]}


def assert_tones(spectrograms, starts):
    """Every frame of every window is loudest where the tone of that half second is; changes of tone left out."""
    checked = 0
    for start, spectrogram in zip(starts, spectrograms, strict=True):
        for frame in range(4, 47):
            at = start + frame * 0.01
            if 0.06 < at % clips.SEGMENT < clips.SEGMENT - 0.06:
                assert int(spectrogram[:, frame].argmax()) in bands_of(tone(int(at / clips.SEGMENT))), f"at {at:.2f} s"
                checked += 1
    assert checked > 20 * len(starts)


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("seconds, fps", [(3.72, 25), (2.0, 30)])
def test_each_window_holds_its_frame_and_its_tone(tmp_path, kind, seconds, fps):
    take = Take(seconds=seconds, fps=fps)
    found = extract_media(both(write_clip(tmp_path / f"clip.{kind}", take, CODECS[kind])), None, None, FEW, "clip")
    length = round(seconds * fps) / fps
    assert found.duration == pytest.approx(length, abs=0.002)
    assert found.missing == {}
    numbers = [read_number(jpeg) for jpeg in found.values["visual"]]
    # MPEG's clock begins with the sound's padding, 11 ms before the first frame: both move together.
    assert numbers == [shown(take.shown_at(), at) for at in centres(length)]
    assert found.values["audio"].dtype == np.float16
    assert_tones(found.values["audio"].astype(np.float32), [at - 0.25 for at in centres(length)])


def test_pictures_are_squares_in_jpeg(tmp_path):
    found = extract_media(both(write_clip(tmp_path / "a.mp4")), None, None, MediaSettings(windows=2, size=96), "a")
    for jpeg in found.values["visual"]:
        image = Image.open(io.BytesIO(jpeg))
        assert (image.format, image.size, image.mode) == ("JPEG", (96, 96), "RGB")


def test_the_frame_is_found_by_its_time_where_the_rate_varies(tmp_path):
    times = (0.0, 0.1, 0.15, 0.9, 1.0, 1.7, 1.75, 2.6)
    take = Take(seconds=3.0, times=times)
    found = extract_media(both(write_clip(tmp_path / "vfr.mp4", take)), 0.0, 2.7, MediaSettings(windows=30), "vfr")
    assert [read_number(j) for j in found.values["visual"]] == [shown(times, at) for at in centres(2.7, 30)]


def test_a_time_after_the_picture_has_no_frame(tmp_path):
    with OpenClip.open(write_clip(tmp_path / "a.mp4", Take(seconds=1.0))) as clip:
        assert len(video.pictures(clip, np.array([1.2]), 0.25, 64, 90, None)) == 1
        with pytest.raises(MediaError, match=r"shows no picture at 1\.40 s: its picture ends at 1\.00 s"):
            video.pictures(clip, np.array([1.4]), 0.25, 64, 90, None)


def test_stretches_of_which_one_holds_another_are_one():
    assert merge([(0, 10), (1, 3), (4, 5), (12, 13)], 3) == [(0, 13)]


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3), Fraction(8, 9)])
def test_rotation_and_pixel_shape_are_honoured(tmp_path, rotation, aspect):
    """`read_number` finds its cells and markers only in an upright picture of square pixels."""
    take = Take(seconds=1.0, rotation=rotation, aspect=aspect, width=256, height=144)
    found = extract_media(both(write_clip(tmp_path / "turned.mp4", take)), None, None, FEW, "turned")
    assert [read_number(j) for j in found.values["visual"]] == [shown(take.shown_at(), at) for at in centres(1.0)]


def test_frames_that_are_skipped_change_nothing(tmp_path, monkeypatch):
    """Frames that no other needs are not decoded: pixel for pixel, the frames shown are the same without that."""
    path = write_clip(tmp_path / "a.mp4", Take(seconds=4.0, gop=48))
    fast = extract_media(both(path), None, None, FEW, "a").values["visual"]
    monkeypatch.setattr(video, "_SKIP", "DEFAULT")
    assert extract_media(both(path), None, None, FEW, "a").values["visual"] == fast


def test_frames_in_disorder_in_avi(tmp_path):
    """AVI has no presentation times: with B-frames, its decoding times serve, at most their delay off."""
    codecs = clips.Codecs("avi", "mpeg4", "pcm_s16le", 44100, (("bf", "2"),))
    take = Take(seconds=2.0)
    found = extract_media(both(write_clip(tmp_path / "b.avi", take, codecs)), None, None, FEW, "b")
    numbers = np.array([read_number(j) for j in found.values["visual"]])
    assert np.abs(numbers - [shown(take.shown_at(), at) for at in centres(2.0)]).max() <= 2


def test_sound_that_begins_late_and_ends_early_is_padded_with_silence(tmp_path):
    take = Take(seconds=2.5, sound_start=0.75, sound_seconds=0.75)
    for kind in ("mp4", "mkv"):
        path = write_clip(tmp_path / f"part.{kind}", take, CODECS[kind])
        found = extract_media(both(path), None, None, MediaSettings(windows=5), "part").values["audio"].astype(float)
        loud = found.max(1) > -12
        at = np.array(centres(2.5, 5))[:, None] - 0.25 + np.arange(51) * 0.01
        assert loud[(at > 0.79) & (at < 1.46)].all()
        assert not loud[(at < 0.68) | (at > 1.57)].any()  # an AAC frame is 21 ms, its padding one more


@pytest.mark.parametrize("kind", CODECS)
def test_sound_is_where_it_belongs_to_a_millisecond(tmp_path, kind):
    """Correlated with what was recorded: priming, edit lists, resampling and mixing shift nothing."""
    take = Take(seconds=2.0, channels=1, tone=lambda segment: 300.0 + 77 * segment)
    path = write_clip(tmp_path / f"a.{kind}", take, CODECS[kind])
    with OpenClip.open(path) as clip:
        origin = clip.picture.start
        found = waveforms(clip, np.array([origin + 0.2, origin + 1.2]), 0.6, 16000)
    truth = waveform(take, 16000)
    for begin, row in zip((3200, 19200), found.values, strict=True):
        lags = range(-80, 81)
        match = [np.dot(row, truth[begin + lag : begin + lag + 9600]) for lag in lags]
        assert abs(lags[int(np.argmax(match))]) <= 16
        assert row.std() == pytest.approx(truth[begin : begin + 9600].std(), rel=0.05)


def test_sound_after_its_end_is_silence(tmp_path):
    """The last AAC frame is filled up to 1024 samples; the container says how many of them are meant."""
    path = write_clip(tmp_path / "a.mp4", Take(seconds=1.0, sound_seconds=0.506))
    with OpenClip.open(path) as clip:
        found = waveforms(clip, np.array([0.0]), 1.0, 16000).values[0]
    end = round(0.506 * 16000)
    assert (found[end + 1 :] == 0).all()
    assert np.abs(found[end - 100 : end]).max() > 0.3


@pytest.mark.parametrize("resumed", [13600, 9600])
def test_a_gap_in_the_sound_is_silence(tmp_path, resumed):
    """Half a second of a tone, a third or a tenth of a second of nothing, and the tone again: nothing moves up."""
    path = tmp_path / "gap.mkv"
    sine = (np.sin(2 * np.pi * 500 * np.arange(1600) / 16000) * 16000).astype(np.int16)[None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for place in [*range(0, 8000, 1600), *range(resumed, resumed + 8000, 1600)]:
            frame = av.AudioFrame.from_ndarray(sine, "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, place, Fraction(1, 16000)
            container.mux(stream.encode(frame))
    with OpenClip.open(path) as clip:
        found = waveforms(clip, np.array([0.0]), 1.35, 16000).values[0]
    assert np.abs(found[8020 : resumed - 20]).max() < 0.01
    for begin in (0, resumed):
        np.testing.assert_allclose(found[begin + 20 : begin + 7980], np.tile(sine[0], 5)[20:7980] / 32768, atol=1e-3)


def test_of_several_frames_in_a_packet_the_later_ones_follow(tmp_path):
    """The decoder gives a time to the first of them only."""
    take = Take(seconds=2.0, picture=False, channels=1, tone=lambda segment: 300.0 + 77 * segment)
    path = write_clip(tmp_path / "a.wav", take, clips.Codecs("wav", "", "adpcm_ms", 44100))
    with OpenClip.open(path) as clip:
        found = waveforms(clip, np.array([0.4]), 0.6, 16000).values[0]
    truth = waveform(take, 16000, 6400, 9600)
    assert np.corrcoef(found, truth)[0, 1] > 0.98


def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path):
    """As phones trim clips: the first second is in the file, is decoded, and is not part of the clip."""
    path = write_clip(tmp_path / "trimmed.mp4", Take(seconds=3.0, gop=100, sound=False))
    content = bytearray(path.read_bytes())
    edit = content.index(b"elst") + 12
    duration, cut = (int.from_bytes(content[edit + i : edit + i + 4], "big") for i in (0, 4))
    content[edit : edit + 4] = (duration * 2 // 3).to_bytes(4, "big")
    content[edit + 4 : edit + 8] = (cut + 25 * 512).to_bytes(4, "big")
    path.write_bytes(content)
    found = extract_media({"visual": path}, None, None, FEW, "trimmed")
    assert found.duration == pytest.approx(2.0, abs=0.05)
    frames = [25 + int((at + 1e-6) * 25) for at in centres(found.duration)]
    assert [read_number(j) for j in found.values["visual"]] == frames


def write_stereo(path, *channels, rate=48000, layout="stereo", form="s16", codec="pcm_s16le"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        interleaved = np.stack(channels, 1).reshape(1, -1)
        kind, scale = {"s16": (np.int16, 32767), "flt": (np.float32, 1)}[form]
        frame = av.AudioFrame.from_ndarray((interleaved * scale).astype(kind), form, layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
    return path


LEFT = np.sin(2 * np.pi * 500 * np.arange(48000) / 48000) * 0.5


@pytest.mark.parametrize(
    "right, amplitude, channel",
    [(0 * LEFT, 0.25, None), (LEFT, 0.5, None), (-0.8 * LEFT, 0.05, None), (-LEFT, 0.5, 0), (-0.92 * LEFT, 0.5, 0)],
)
def test_channels_are_averaged_unless_they_cancel(tmp_path, right, amplitude, channel):
    path = write_stereo(tmp_path / "stereo.wav", LEFT, right)
    with OpenClip.open(path) as clip:
        found = waveforms(clip, np.array([0.2]), 0.5, 16000)
    assert np.abs(found.values).max() == pytest.approx(amplitude, abs=0.005)
    assert found.channel == channel
    notes = extract_media({"audio": path}, None, None, FEW, "a").notes
    assert notes == ({} if channel is None else {"audio": CANCEL.format(channel + 1)})


CANCEL = "its sound is that of channel {} alone: the mix of its channels cancels"


def test_the_loudest_channel_is_taken_where_they_cancel(tmp_path):
    path = write_stereo(tmp_path / "a.wav", -0.99 * LEFT, LEFT, rate=16000, form="flt", codec="pcm_f32le")
    with OpenClip.open(path) as clip:
        found = waveforms(clip, np.array([0.2, 1.0]), 0.5, 16000)
    assert found.channel == 1
    np.testing.assert_allclose(found.values[0], LEFT[3200:11200], atol=1e-3)  # and not turned


def test_one_channel_of_many_is_no_cancelling(tmp_path):
    quiet = 0 * LEFT
    for at in range(8):
        channels = [quiet] * at + [LEFT] + [quiet] * (7 - at)
        path = write_stereo(tmp_path / "many.wav", *channels, layout="7.1")
        with OpenClip.open(path) as clip:
            found = waveforms(clip, np.array([0.2]), 0.5, 16000)
        assert found.channel == (3 if at == 3 else None)  # the fourth, for low frequencies, is not mixed in at all


def write_tracks(path, *sounds, picture=False, rate=16000):
    """Several tracks of sound, each mono, in Matroska."""
    with av.open(str(path), "w", format="matroska") as container:
        seen = container.add_stream("mpeg4", rate=25) if picture else None
        streams = [container.add_stream("pcm_s16le", rate=rate, layout="mono") for _ in sounds]
        if seen:
            seen.width, seen.height, seen.pix_fmt = 64, 64, "yuv420p"
            for number in range(50):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), "rgb24")
                container.mux(seen.encode(frame))
            container.mux(seen.encode(None))
        for stream, sound in zip(streams, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize("picture", [False, True])
@pytest.mark.parametrize(
    "loud, note",
    [
        ((1, 1), None),
        ((0, 1), "its sound is that of track 2: those before are silent"),
        ((1e-4, 0, 1), "its sound is that of track 3: those before are silent"),
    ],
)
def test_the_first_audible_track_is_used_and_said(tmp_path, picture, loud, note):
    tone = [np.sin(2 * np.pi * (500 + 700 * n) * np.arange(32000) / 16000) * 0.5 * at for n, at in enumerate(loud)]
    path = write_tracks(tmp_path / "a.mkv", *tone, picture=picture)
    sources = both(path) if picture else {"audio": path}
    found = extract_media(sources, None, None, FEW, "a")
    assert found.notes == ({"audio": note} if note else {}) and found.duration == pytest.approx(2.0, abs=0.05)
    used = 500 + 700 * (len(loud) - 1 if note else 0)
    assert {int(band) for band in found.values["audio"].astype(float)[:, :, 25].argmax(1)} <= bands_of(used)


def test_windows_are_spread_over_the_track_that_is_used(tmp_path):
    path = write_tracks(tmp_path / "a.mkv", np.zeros(8000), LEFT[:32000])
    assert extract_media({"audio": path}, None, None, FEW, "a").duration == pytest.approx(2.0, abs=0.01)


def test_of_several_silent_tracks_none_is_used(tmp_path):
    path = write_tracks(tmp_path / "a.mkv", np.zeros(16000), np.zeros(32000))
    found = extract_media({"audio": path}, None, None, FEW, "a")
    assert found.missing == {"audio": "silence throughout in a.mkv"} and found.notes == {}
    assert found.duration == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("rate, layout, form", [(8000, "mono", "s16"), (22050, "stereo", "flt"), (96000, "5.1", "s32")])
def test_any_rate_layout_and_sample_format_becomes_mono_at_the_set_rate(tmp_path, rate, layout, form):
    codec = {"s16": "pcm_s16le", "flt": "pcm_f32le", "s32": "pcm_s32le"}[form]
    path = tmp_path / "sound.wav"
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    sine = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate) * 0.5
    scale = {"s16": (32767, np.int16), "flt": (1, np.float32), "s32": (2**31 - 1, np.int32)}[form]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        interleaved = np.repeat(sine, channels)[None] * scale[0]
        frame = av.AudioFrame.from_ndarray(interleaved.astype(scale[1]), form, layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
    found = extract_media({"audio": path}, None, None, MediaSettings(windows=3), "s")
    assert found.duration == pytest.approx(1.0, abs=0.001)
    assert {int(band) for band in found.values["audio"].astype(float)[:, :, 25].argmax(1)} <= bands_of(1000.0)


def test_samples_that_are_no_numbers_are_silence(tmp_path):
    path = tmp_path / "nan.wav"
    sine = np.sin(np.arange(16000) / 5).astype(np.float32)[None]
    sine[0, 4000:4100], sine[0, 5000] = np.nan, np.inf
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine, "flt", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
    with OpenClip.open(path) as clip:
        found = waveforms(clip, np.array([0.0]), 1.0, 16000).values[0]
    assert (found[4010:4090] == 0).all()
    assert found[5000] == 4  # four times full scale at most
    assert np.isfinite(extract_media({"audio": path}, None, None, FEW, "nan").values["audio"]).all()


@pytest.mark.parametrize("sources", [("visual",), ("audio",), ("visual", "audio")])
def test_only_what_is_asked_for_is_taken(tmp_path, sources):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=1.0))
    found = extract_media(dict.fromkeys(sources, path), None, None, FEW, "a")
    assert set(found.values) == set(sources)
    assert found.missing == {}


def test_picture_and_sound_in_files_of_their_own(tmp_path):
    take = Take(seconds=2.0, sound=False)
    seen = write_clip(tmp_path / "v.mp4", take)
    heard = write_clip(tmp_path / "a.mp4", Take(seconds=2.0, picture=False))
    found = extract_media({"visual": seen, "audio": heard}, None, None, FEW, "a")
    assert [read_number(j) for j in found.values["visual"]] == [shown(take.shown_at(), at) for at in centres(2.0)]
    assert_tones(found.values["audio"].astype(np.float32), [at - 0.25 for at in centres(2.0)])


@pytest.mark.parametrize(
    "take, missing",
    [
        (Take(seconds=1.0, sound=False), {"audio": "no sound in a.mp4"}),
        (Take(seconds=1.0, picture=False), {"visual": "no picture in a.mp4"}),
        (Take(seconds=1.0, silent=True), {"audio": "silence throughout in a.mp4"}),
    ],
)
def test_a_stream_that_is_absent_or_silent_is_a_missing_modality(tmp_path, take, missing):
    found = extract_media(both(write_clip(tmp_path / "a.mp4", take)), None, None, FEW, "a")
    assert found.missing == missing
    assert set(found.values) == {"visual", "audio"} - set(missing)
    assert found.duration == pytest.approx(1.0, abs=0.03)


def test_one_frame_and_ten_milliseconds_of_sound_are_used(tmp_path):
    path = write_clip(tmp_path / "one.mp4", Take(seconds=0.04, sound_seconds=2))
    one = extract_media(both(path), None, None, FEW, "a")
    assert [read_number(j) for j in one.values["visual"]] == [0] * 7
    assert one.values["audio"].shape == (7, 64, 51)
    click = Take(picture=False, sound_seconds=0.01)
    brief = extract_media(both(write_clip(tmp_path / "click.avi", click, AVI)), None, None, FEW, "a")
    assert brief.values["audio"].shape == (7, 64, 51)
    assert brief.duration == pytest.approx(0.01, abs=0.001)


def test_a_piece_from_start_to_end(tmp_path):
    take = Take(seconds=4.0, gop=10)
    for kind in CODECS:
        path = write_clip(tmp_path / f"long.{kind}", take, CODECS[kind])
        with OpenClip.open(path) as clip:
            delay = clip.picture.start
        found = extract_media(both(path), 2.25 + delay, 3.5 + delay, FEW, "piece")
        at = centres(1.25, start=2.25)
        assert found.duration == pytest.approx(1.25)
        frames = stamped(path)  # FFmpeg's MPEG muxer stamps a few frames a frame too late
        assert kind == "mpg" or [time for time, _ in frames] == pytest.approx(take.shown_at())
        expected = [[number for time, number in frames if time <= t + 1e-5][-1] for t in at]
        assert [read_number(j) for j in found.values["visual"]] == expected
        assert_tones(found.values["audio"].astype(np.float32), [t - 0.25 for t in at])


@pytest.mark.parametrize(
    "start, end", [(1.0, 1.0), (1.5, 0.5), (-0.5, 1.0), (2.5, None), (0.0, 3.0), (float("nan"), 1)]
)
def test_a_piece_that_is_not_in_the_clip(tmp_path, start, end):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=2.0))
    with pytest.raises(MediaError, match=r"lasts 2\.00 s: expected"):
        extract_media(both(path), start, end, FEW, "a")


def test_a_window_may_reach_beyond_the_end(tmp_path):
    take = Take(seconds=2.0)
    found = extract_media(both(write_clip(tmp_path / "a.mp4", take)), 1.7, 2.2, MediaSettings(windows=1), "a")
    assert [read_number(j) for j in found.values["visual"]] == [shown(take.shown_at(), 1.95)]
    quiet = found.values["audio"].astype(float)[0].max(0) < -15
    assert quiet[36:].all()
    assert not quiet[:28].any()


@pytest.mark.parametrize("kind", CODECS)
def test_large_gaps_are_seeked_over(tmp_path, kind, monkeypatch):
    """Of a minute with three windows a few seconds are decoded; each window holds what it should nonetheless."""
    take = Take(seconds=60.0, fps=10 if kind != "mpg" else 25, width=96, height=96, gop=10)
    path = write_clip(tmp_path / f"minute.{kind}", take, CODECS[kind])
    decoded = {"frames": 0, "samples": 0}

    def counted(name, function, size):
        def frames(*arguments):
            for frame in function(*arguments):
                decoded[name] += size(frame)
                yield frame

        return frames

    monkeypatch.setattr(video, "_frames", counted("frames", video._frames, lambda frame: 1))
    monkeypatch.setattr(audio, "_frames", counted("samples", audio._frames, lambda frame: frame.samples))
    found = extract_media(both(path), None, None, MediaSettings(windows=3), "minute")
    assert [read_number(j) for j in found.values["visual"]] == [
        shown(take.shown_at(), at) for at in centres(60.0, windows=3)
    ]
    assert_tones(found.values["audio"].astype(np.float32), [at - 0.25 for at in centres(60.0, windows=3)])
    assert decoded["frames"] <= 3 * 2 * 12
    assert decoded["samples"] <= 3 * 2.5 * 48000


def test_where_seeking_leads_astray_the_clip_is_read_from_its_beginning(tmp_path, monkeypatch):
    take = Take(seconds=20.0, fps=10, width=96, height=96, gop=10)
    path = write_clip(tmp_path / "a.mp4", take)
    right = extract_media(both(path), None, None, MediaSettings(windows=3), "a")
    seeks = []

    def astray(self, track, since):
        seeks.append(since)

    monkeypatch.setattr(OpenClip, "_seek", astray)
    found = extract_media(both(path), None, None, MediaSettings(windows=3), "a")
    assert found.values["visual"] == right.values["visual"]
    np.testing.assert_array_equal(found.values["audio"], right.values["audio"])
    assert len(seeks) == 1  # and does not try again


def test_noise_has_the_power_that_was_set_and_depends_on_the_key(tmp_path):
    path = write_clip(tmp_path / "a.mp4", Take(seconds=2.0))
    with OpenClip.open(path) as clip:
        sheet = waveforms(clip, np.array([0.0, 0.25, 1.5]), 0.5, 16000)
    for decibels in (-10.0, 0.0, 20.0):
        noise = audio.noisy(sheet, decibels, "a") - sheet.values
        ratio = 10 * np.log10(np.square(sheet.values).mean() / np.square(noise).mean())
        assert ratio == pytest.approx(decibels, abs=0.15)
        np.testing.assert_allclose(noise[0, 4000:], noise[1, :4000], atol=1e-5)  # they overlap by a quarter second
    noisy = MediaSettings(windows=3, noise_db=-10)
    first, again, other = (extract_media(both(path), None, None, noisy, key).values["audio"] for key in "aab")
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 0.3
    clean = extract_media(both(path), None, None, MediaSettings(windows=3), "a").values["audio"]
    assert (first.astype(float) - clean).mean() > 3


def test_the_spectrogram_is_that_of_the_windows(tmp_path):
    path = write_clip(tmp_path / "a.avi", Take(seconds=1.0), AVI)
    mel = Mel(sample_rate=8000, high=4000.0, bands=20, hop=0.02)
    found = extract_media(both(path), None, None, MediaSettings(windows=2, mel=mel), "a").values["audio"]
    with OpenClip.open(path) as clip:
        sheet = waveforms(clip, np.array([0.0, 0.5]), 0.5, 8000)
    assert found.shape == (2, 20, mel.frames(4000)) == (2, 20, 26)
    np.testing.assert_array_equal(found, log_mel(torch.from_numpy(sheet.values), mel).half().numpy())


def left_half(picture):
    assert picture.dtype == np.uint8
    height, width = picture.shape[:2]
    return (0, 0, width / 2, height)


def test_a_crop_is_cut_from_the_upright_picture(tmp_path):
    def halves(number, width, height):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, : width // 2, 0] = 250
        picture[:, width // 2 :, 2] = 250
        return picture

    take = Take(seconds=0.5, rotation=90, aspect=Fraction(4, 3), width=256, height=128, paint=halves)
    path = write_clip(tmp_path / "a.mp4", take)
    whole, left = (
        extract_media({"visual": path}, None, None, settings, "a").values["visual"][0]
        for settings in (MediaSettings(windows=1, size=64, crop=crop) for crop in (None, left_half))
    )
    whole, left = (np.asarray(Image.open(io.BytesIO(jpeg))).astype(int) for jpeg in (whole, left))
    assert (left[:, :60, 0] > 200).all()
    assert (whole[:, :28, 0] > 200).all()
    assert (whole[:, 36:, 2] > 200).all()


@pytest.mark.parametrize("space, code", [("ITU601", 5), ("ITU709", 1)])
def test_colours_are_those_that_the_clip_declares(tmp_path, space, code):
    path = tmp_path / "colour.mp4"
    colour = np.full((64, 64, 3), (40, 200, 90), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace = code
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(colour, "rgb24").reformat(format="yuv420p", dst_colorspace=space)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = extract_media({"visual": path}, None, None, MediaSettings(windows=1), "a").values["visual"][0]
    pixels = np.asarray(Image.open(io.BytesIO(found)).convert("RGB")).astype(int).mean((0, 1))
    np.testing.assert_allclose(pixels, (40, 200, 90), atol=6)


@pytest.mark.parametrize(
    "wrong",
    [{"windows": 0}, {"seconds": 0.0}, {"seconds": 0.016}, {"size": 4}, {"jpeg_quality": 100}, {"noise_db": 1e9}],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        MediaSettings(**wrong)


def test_an_unknown_modality_is_refused(tmp_path):
    with pytest.raises(InputError, match="choose from audio, image, visual"):
        extract_media({"smell": tmp_path}, None, None, FEW, "a")
