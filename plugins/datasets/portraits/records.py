"""The frozen records a painted person is made of: everything that `draw.render` needs, and nothing random."""

from __future__ import annotations

from dataclasses import dataclass

SIZE = 128
"""Side of a rendered image in pixels."""

PARTS = ("background", "hair", "face", "eyes_mouth", "hand", "clothes", "sign")
"""Names of the values of a part map: hats count as clothes, necks and ears as face, bare forearms as hand."""

BACKGROUND, HAIR, FACE, EYES_MOUTH, HAND, CLOTHES, SIGN = range(7)

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Eye:
    """One eye, placed relative to the face's centre (pixels, before the head's tilt)."""

    x: float
    y: float
    width: float
    openness: float  # 0 shut .. 1 wide
    iris: Colour
    gaze: Point  # each in -1 .. 1
    tilt: float = 0.0  # degrees


@dataclass(frozen=True)
class Brow:
    """One eyebrow over the point (x, y) of the face."""

    x: float
    y: float
    width: float
    thickness: float
    slope: float  # pixels the inner end is lower than the outer one
    arch: float


@dataclass(frozen=True)
class Nose:
    """One nose; (x, y) is its base in the face's frame."""

    x: float
    y: float
    width: float
    height: float
    style: int  # 0 side line, 1 soft wedge, 2 nostrils
    tilt: float = 0.0


@dataclass(frozen=True)
class Mouth:
    """One mouth centred on (x, y) of the face's frame."""

    x: float
    y: float
    width: float
    curve: float  # pixels the corners are higher than the middle
    openness: float  # pixels between the lips
    fullness: float  # thickness of the lips, pixels
    teeth: bool
    colour: Colour
    tilt: float = 0.0


@dataclass(frozen=True)
class Glasses:
    """Spectacles around where the eyes belong."""

    shape: str  # round, square
    radius: float
    thickness: float
    colour: Colour


@dataclass(frozen=True)
class Beard:
    """A beard or moustache in the hair's colour."""

    style: str  # moustache, goatee, full
    length: float


@dataclass(frozen=True)
class Face:
    """A head without its hair: outline, skin and features in a frame that tilts with the head."""

    x: float
    y: float
    width: float
    height: float
    jaw: float  # 0 round .. 1 narrow
    tilt: float  # degrees
    skin: Colour
    eyes: tuple[Eye, ...]
    brows: tuple[Brow, ...]
    noses: tuple[Nose, ...]
    mouths: tuple[Mouth, ...]
    ear: float  # ear height, pixels
    blush: float
    glasses: Glasses | None = None
    beard: Beard | None = None


@dataclass(frozen=True)
class Hair:
    """Hair: a style by name, its measure and its texture."""

    style: str  # bald, short, spiky, curly, bob, long, bun, ponytail, braids
    colour_name: str
    colour: Colour
    volume: float  # pixels beyond the skull
    length: float  # share of the way from jaw to image bottom
    fringe: str  # none, straight, side, centre
    parting: float  # -1 .. 1
    period: float  # of the strands, pixels
    seed: int


@dataclass(frozen=True)
class Hat:
    """A hat over the upper head."""

    style: str  # beanie, cap, brim
    colour_name: str
    colour: Colour
    band: Colour


@dataclass(frozen=True)
class Pattern:
    """A soft two-colour texture."""

    kind: str  # plain, striped, dotted, checked, tiled, cloudy, gradient, blobs
    second: Colour
    period: float
    angle: float  # degrees
    strength: float  # 0 .. 1, how much of the second colour shows
    seed: int


@dataclass(frozen=True)
class Clothes:
    """Garment of the upper body."""

    garment: str  # shirt, sweater, dress, jacket
    neckline: str  # round, v, collar, high
    colour_name: str
    colour: Colour
    trim: Colour
    pattern: Pattern
    shoulder_y: float
    shoulder_width: float


@dataclass(frozen=True)
class Finger:
    """One finger in its hand's frame: x to the thumb, y against the fingers, pixels from the palm's centre."""

    x: float
    y: float
    angle: float  # degrees from straight up, positive to the thumb
    length: float
    width: float
    bend: float = 0.0  # degrees at the joint, positive to the thumb
    folded: bool = False
    visible: bool = True


@dataclass(frozen=True)
class Web:
    """Skin that joins two fingers of a hand over a share of their length."""

    first: int
    second: int
    amount: float


@dataclass(frozen=True)
class Arm:
    """Shoulder, elbow and wrist of one arm in pixels."""

    shoulder: Point
    elbow: Point
    wrist: Point
    width: float
    sleeve: float  # share of the forearm that cloth covers


@dataclass(frozen=True)
class Hand:
    """One hand with its arm; fingers 0 .. 3 run from index to little finger, 4 is the thumb."""

    x: float
    y: float
    angle: float  # degrees, 0 points up, positive clockwise
    thumb_side: int  # +1: the thumb points to image right when the hand points up
    palm_width: float
    palm_height: float
    pose: str  # open, fist, pointing, victory
    back: bool
    behind_sign: bool
    image_side: str  # left, right
    fingers: tuple[Finger, ...]
    arm: Arm
    webs: tuple[Web, ...] = ()


@dataclass(frozen=True)
class Break:
    """A span of one stroke of a letter, moved away from its place or left out."""

    stroke: int
    start: float  # share of the stroke's length
    stop: float
    dx: float  # in letter heights
    dy: float
    erased: bool = False


@dataclass(frozen=True)
class Glyph:
    """One letter of a sign; `blend` is a second letter it has turned into by `weight`."""

    letter: str
    dx: float = 0.0
    dy: float = 0.0
    blend: str | None = None
    weight: float = 0.0
    breaks: tuple[Break, ...] = ()


@dataclass(frozen=True)
class Font:
    """How strokes become letters: stroke width and slant in letter heights."""

    stroke: float
    slant: float
    width: float
    squareness: float  # exponent of the bowls: 2 round .. 5 square
    serif: float  # length of the serifs in letter heights, 0 none


@dataclass(frozen=True)
class Sign:
    """A board with three letters."""

    x: float
    y: float
    width: float
    height: float
    angle: float
    corner: float
    colour: Colour
    ink: Colour
    border: Colour
    border_width: float
    letter_height: float
    font: Font
    glyphs: tuple[Glyph, ...]


@dataclass(frozen=True)
class Background:
    """The wall behind."""

    colour_name: str
    colour: Colour
    pattern: Pattern


@dataclass(frozen=True)
class Merge:
    """Two parts that melt into each other around a point of the image."""

    first: int  # index into PARTS
    second: int
    x: float
    y: float
    radius: float
    amount: float


@dataclass(frozen=True)
class Warp:
    """A smooth displacement around a point, optionally with smeared colour."""

    x: float
    y: float
    radius: float
    strength: float  # pixels
    period: float
    smear: float  # 0 .. 1
    seed: int


@dataclass(frozen=True)
class Light:
    """Direction the light comes from (degrees, 0 is right, -90 above) and its strength."""

    angle: float
    strength: float
    warmth: float  # -1 cold .. 1 warm


@dataclass(frozen=True)
class Scene:
    """One painted person; equal scenes render to equal bytes."""

    person: str  # woman, man
    expression: str
    background: Background
    light: Light
    face: Face
    hair: Hair
    hat: Hat | None
    clothes: Clothes
    hands: tuple[Hand, ...]
    idle_arms: tuple[Arm, ...]
    sign: Sign
    merges: tuple[Merge, ...] = ()
    warps: tuple[Warp, ...] = ()
