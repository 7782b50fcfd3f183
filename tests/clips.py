"""Tiny real videos, made with PyAV, for everyone's tests. Each frame shows its own number as bright and dark blocks.

`write_clip` makes a sound one; SOUND_CLIPS are the kinds that a reader of video must get right; the rest is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

NUMBER_BITS = 16
NUMBER_COLUMNS = 4
NUMBER_ROWS = NUMBER_BITS // NUMBER_COLUMNS
DARK, BRIGHT = 40, 200
MPEG4_PICTURE, MPEG4_B = b"\0\0\x01\xb6", 0b10
Size = tuple[int, int]


def write_clip(
    path: Path,
    *,
    frames: int = 30,
    size: Size = (64, 48),
    keyframe_interval: int = 10,
    bframes: int = 0,
    rate: int = 25,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
    pts: Iterable[int] | None = None,
    audio: bool = False,
) -> Path:
    """Encode `frames` numbered frames; `pts` gives their times in units of 1/1000 s (even spacing by default)."""
    width, height = size
    times = list(pts) if pts is not None else list(range(frames))
    time_base = Fraction(1, 1000) if pts is not None else Fraction(1, rate)
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        video = container.add_stream(
            codec, rate=rate, options=_encoder_options(codec, keyframe_interval, bframes, options)
        )
        video.width, video.height, video.pix_fmt = width, height, pixel_format
        video.codec_context.time_base = time_base
        sound = container.add_stream("aac", rate=48000, layout="mono") if audio else None
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(numbered_picture(number, size), format="yuv420p")
            picture.pts, picture.time_base = time, time_base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            _write_silence(container, sound, seconds=len(times) / rate)
    return path


def _encoder_options(
    codec: str, keyframe_interval: int, bframes: int, options: Mapping[str, str] | None
) -> dict[str, str]:
    chosen = {"g": str(keyframe_interval), "bf": str(bframes)}
    if codec == "libx264":
        chosen |= {"preset": "ultrafast", "sc_threshold": "0", "threads": "1", "b-pyramid": "none"}
    elif codec == "libx265":
        chosen |= {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1:scenecut=0"}
    return chosen | dict(options or {})


def _write_silence(container: av.container.OutputContainer, sound: av.AudioStream, seconds: float) -> None:
    samples = 1024
    for number in range(max(1, int(seconds * 48000 / samples))):
        block = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = 48000, number * samples, Fraction(1, 48000)
        container.mux(sound.encode(block))
    container.mux(sound.encode(None))


def numbered_picture(number: int, size: Size) -> npt.NDArray[np.uint8]:
    """A yuv420p picture (height * 3 / 2, width) with the number in 16 blocks and some moving texture below them."""
    width, height = size
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    picture[:height] = (np.arange(width, dtype=np.int64) * 3 + number * 5) % 60 + 90
    block_width, block_height = width // NUMBER_COLUMNS, height // 2 // NUMBER_ROWS
    for bit in range(NUMBER_BITS):
        row, column = divmod(bit, NUMBER_COLUMNS)
        top, left = row * block_height, column * block_width
        picture[top : top + block_height, left : left + block_width] = BRIGHT if number >> bit & 1 else DARK
    return picture


def shown_number(gray: npt.NDArray[np.uint8]) -> int:
    """The number that a decoded picture shows; any full-range or limited-range luma will do."""
    height, width = gray.shape
    block_width, block_height = width // NUMBER_COLUMNS, height // 2 // NUMBER_ROWS
    number = 0
    for bit in range(NUMBER_BITS):
        row, column = divmod(bit, NUMBER_COLUMNS)
        y, x = row * block_height + block_height // 2, column * block_width + block_width // 2
        number |= int(gray[y, x] > (DARK + BRIGHT) // 2) << bit
    return number


def open_gop_clip(path: Path, codec: str = "libx264") -> Path:
    """Frames shown before a keyframe and decoded after it refer to the group of pictures before it."""
    if codec == "libx265":
        parameters = "log-level=none:pools=1:frame-threads=1:scenecut=0:open-gop=1:keyint=10:min-keyint=10"
        return write_clip(path, codec=codec, bframes=3, options={"x265-params": parameters})
    return write_clip(path, codec=codec, bframes=3, options={"preset": "medium", "x264-params": "open-gop=1:b-adapt=0"})


def variable_rate_clip(path: Path) -> Path:
    gaps = np.random.default_rng(1).integers(5, 200, 30)
    return write_clip(path, bframes=2, pts=np.cumsum(gaps).tolist())


def gradual_refresh_clip(path: Path) -> Path:
    """No keyframe stands alone but the first: a column of intra blocks wanders over the picture instead."""
    return write_clip(path, frames=70, options={"x264-params": "intra-refresh=1"})


def edited_clip(path: Path, *, first: int = 15, codec: str = "libx264") -> Path:
    """An MP4 whose edit list begins the show at frame `first`, inside a group of pictures."""
    whole = write_clip(path.with_stem("whole"), bframes=2, codec=codec)
    return remux(whole, path, shift=-first)


def beginning_in_open_gop_clip(path: Path) -> Path:
    """Cut from a longer video at a keyframe whose leading pictures lost what they refer to."""
    return remux(open_gop_clip(path.with_stem("whole")), path, first_keyframe=1)


def twin_times_clip(path: Path) -> Path:
    """Frames 4 and 5 are to be shown at the same time."""
    return remux(write_clip(path.with_stem("whole")), path, twin=4)


def hidden_frame_clip(path: Path) -> Path:
    """VP8 in which frame 5 is decoded and never shown."""
    whole = write_clip(path.with_stem("whole"), codec="libvpx", options={"auto-alt-ref": "0", "lag-in-frames": "0"})
    data = bytearray(whole.read_bytes())
    data[packet_places(whole)[5][0]] &= ~0x10
    path.write_bytes(data)
    return path


def packed_clip(path: Path) -> Path:
    """MPEG-4 as DivX put it into AVI: a B-frame lies in the packet before its own, in which nothing is left."""
    nothing = MPEG4_PICTURE + b"\x50\x00\x00"
    with av.open(str(write_clip(path.with_stem("whole"), codec="mpeg4", bframes=1))) as given:
        stream = given.streams.video[0]
        frames = [(bytes(packet), packet.is_keyframe) for packet in given.demux(stream) if packet.size]
        packed: list[tuple[bytes, bool]] = []
        for data, is_keyframe in frames:
            if data[data.index(MPEG4_PICTURE) + 4] >> 6 == MPEG4_B:
                packed[-1] = (packed[-1][0] + data, packed[-1][1])
                data = nothing
            packed.append((data, is_keyframe))
        with av.open(str(path), "w") as made:
            copy = made.add_stream_from_template(stream)
            for number, (data, is_keyframe) in enumerate(packed):
                packet = av.Packet(data)
                packet.pts = packet.dts = number
                packet.time_base, packet.is_keyframe, packet.stream = stream.time_base, is_keyframe, copy
                made.mux(packet)
    return path


def left_out_clip(path: Path) -> Path:
    """MPEG-4 in AVI, of which frames 14 and 15 were left out: their packets say so, and hold no picture."""
    with av.open(str(write_clip(path.with_stem("whole"), codec="mpeg4"))) as given, av.open(str(path), "w") as made:
        stream = given.streams.video[0]
        copy = made.add_stream_from_template(stream)
        for number, packet in enumerate(given.demux(stream)):
            if packet.size:
                shown = packet
                if number in (14, 15):  # a P-frame, its time in 5 bits of 25 a second between markers, and no picture
                    bits = f"0101{number:05b}10".ljust(16, "1")
                    shown = av.Packet(MPEG4_PICTURE + int(bits, 2).to_bytes(2, "big"))
                    shown.pts, shown.dts, shown.time_base = packet.pts, packet.dts, packet.time_base
                shown.stream = copy
                made.mux(shown)
    return path


SOUND_CLIPS: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": write_clip,
    "sound.mp4": lambda path: write_clip(path, bframes=2, audio=True),
    "bframes.mp4": lambda path: write_clip(path, bframes=3, options={"b-pyramid": "normal", "preset": "fast"}),
    "bframes.mkv": lambda path: write_clip(path, bframes=3),
    "bframes.ts": lambda path: write_clip(path, bframes=2),
    "fragments.mp4": lambda path: write_clip(
        path, bframes=2, container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "one-frame.mp4": lambda path: write_clip(path, frames=1),
    "one-keyframe.mp4": lambda path: write_clip(path, bframes=2, keyframe_interval=1000),
    "all-keyframes.mp4": lambda path: write_clip(path, frames=12, keyframe_interval=1),
    "variable-rate.mp4": variable_rate_clip,
    "variable-rate.mkv": variable_rate_clip,
    "open-gop.mp4": open_gop_clip,
    "open-gop.mkv": open_gop_clip,
    "open-gop.ts": open_gop_clip,
    "open-gop-hevc.mp4": lambda path: open_gop_clip(path, "libx265"),
    "late-start.mp4": lambda path: write_clip(path, bframes=2, pts=[5000 + 40 * number for number in range(30)]),
    "late-start.ts": lambda path: write_clip(path, bframes=2, pts=[5000 + 40 * number for number in range(30)]),
    "edited.mp4": edited_clip,
    "edited-at-keyframe.mp4": lambda path: edited_clip(path, first=10),
    "edited-hevc.mp4": lambda path: edited_clip(path, codec="libx265"),
    "begins-in-open-gop.ts": beginning_in_open_gop_clip,
    "begins-in-open-gop.mp4": beginning_in_open_gop_clip,
    "begins-in-open-gop.mkv": beginning_in_open_gop_clip,
    "gradual-refresh.mp4": gradual_refresh_clip,
    "twin-times.mp4": twin_times_clip,
    "hevc.mp4": lambda path: write_clip(path, codec="libx265", bframes=3),
    "mpeg4.avi": lambda path: write_clip(path, codec="mpeg4"),
    "left-out.avi": left_out_clip,
    "mpeg2.ts": lambda path: write_clip(path, codec="mpeg2video", bframes=2),
    "mpeg2.mpg": lambda path: write_clip(path, codec="mpeg2video", bframes=2),
    "vp9.webm": lambda path: write_clip(path, codec="libvpx-vp9", options={"deadline": "realtime"}),
    "hidden-frame.webm": hidden_frame_clip,
}


def remux(source: Path, path: Path, *, shift: int = 0, first_keyframe: int = 0, twin: int | None = None) -> Path:
    """Copy the video's packets, moved by `shift` frames in time, from one of its keyframes on.

    The packet `twin` gets the presentation time of the frame behind it.
    """
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = given.streams.video[0]
        assert stream.time_base is not None
        assert stream.average_rate is not None
        ticks = round(shift / stream.average_rate / stream.time_base)
        copy = made.add_stream_from_template(stream)
        keyframes_seen = 0
        for number, packet in enumerate(given.demux(stream)):
            keyframes_seen += packet.is_keyframe
            if packet.size and keyframes_seen > first_keyframe:
                delay = packet.duration if number == twin else 0
                packet.pts, packet.dts = packet.pts + ticks + delay, packet.dts + ticks
                packet.stream = copy
                made.mux(packet)
    return path


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Position and size in the file of each frame's data, in the order in which frames are shown."""
    data = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        packets.sort(key=lambda packet: packet.pts)
        return [(data.index(bytes(packet), packet.pos), packet.size) for packet in packets]


def damage(source: Path, path: Path, frames: Collection[int], *, share: float = 1.0, seed: int = 0) -> Path:
    """Replace the data of some frames, or the last share of it, by noise; the container stays whole."""
    data, noise = bytearray(source.read_bytes()), np.random.default_rng(seed)
    for number, (position, size) in enumerate(packet_places(source)):
        if number in frames:
            kept = size - int(size * share)
            data[position + kept : position + size] = noise.bytes(size - kept)
    path.write_bytes(data)
    return path


def truncate(source: Path, path: Path, *, share: float = 0.6) -> Path:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def signature_only(path: Path) -> Path:
    """An `ftyp` box and nothing else."""
    path.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42")
    return path


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        _write_silence(container, sound, seconds=0.2)
    return path


def sound_with_cover(path: Path) -> Path:
    """Sound and a cover picture, which players show and which is no video."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(numbered_picture(0, (64, 48)), format="yuvj420p")
        container.mux([*cover.encode(picture), *cover.encode(None)])
        _write_silence(container, sound, seconds=0.2)
    return path


def without_frames(path: Path) -> Path:
    """A video stream that is announced and has no frame."""
    with av.open(str(path), "w", options={"movflags": "empty_moov+frag_keyframe"}) as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def header_bomb(path: Path, frames: int) -> Path:
    """A few hundred bytes whose tables claim any number of frames, all in one chunk."""
    data = write_clip(path.with_stem("whole"), frames=1, container_options={"use_editlist": "0"}).read_bytes()
    count = frames.to_bytes(4, "big")
    for box, offset in ((b"stsz", 12), (b"stts", 12), (b"stsc", 16)):
        at = data.index(box) + offset
        data = data[:at] + count + data[at + 4 :]
    path.write_bytes(data)
    return path


def picture_bomb(path: Path) -> Path:
    """A small file whose only frame, a PNG, claims to be 16000 pixels wide and high."""
    whole = write_clip(path.with_stem("whole"), frames=1, codec="png", pixel_format="rgb24")
    data = whole.read_bytes()
    at = data.index(b"IHDR") + 4
    path.write_bytes(data[:at] + (16000).to_bytes(4, "big") * 2 + data[at + 8 :])
    return path
