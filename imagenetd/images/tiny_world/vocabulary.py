"""The words of the tiny world: what it can draw, and where each thing habitually occurs."""

CATEGORIES: tuple[str, ...] = (
    "banana",
    "chair",
    "desk_lamp",
    "frying_pan",
    "hammer",
    "mug",
    "padlock",
    "sock",
    "t_shirt",
    "teapot",
    "umbrella",
    "wine_bottle",
)
BACKGROUNDS: tuple[str, ...] = (
    "beach-s",
    "forest-broadleaf-s",
    "street-s",
    "kitchen-s",
    "snowfield-s",
    "desert-sand-s",
    "cavern-indoor-s",
    "swimming_pool-outdoor-s",
)
TEXTURES: tuple[str, ...] = ("striped", "polka-dotted", "chequered", "zigzagged", "marbled", "grid")
MATERIALS: tuple[str, ...] = ("wood", "metal", "glass", "brick", "foliage", "fire")
APPEARANCES: tuple[str, ...] = ("natural", *TEXTURES, *MATERIALS)

NUISANCES: tuple[tuple[str, str], ...] = (
    *(("background", word) for word in BACKGROUNDS),
    *(("texture", word) for word in TEXTURES),
    *(("material", word) for word in MATERIALS),
)
"""(kind, word) of the 20 nuisances, in the order used for every table."""

TYPICAL_BACKGROUNDS: dict[str, tuple[str, str]] = {
    "banana": ("forest-broadleaf-s", "beach-s"),
    "chair": ("kitchen-s", "swimming_pool-outdoor-s"),
    "desk_lamp": ("street-s", "cavern-indoor-s"),
    "frying_pan": ("kitchen-s", "forest-broadleaf-s"),
    "hammer": ("street-s", "desert-sand-s"),
    "mug": ("kitchen-s", "snowfield-s"),
    "padlock": ("cavern-indoor-s", "street-s"),
    "sock": ("snowfield-s", "forest-broadleaf-s"),
    "t_shirt": ("beach-s", "swimming_pool-outdoor-s"),
    "teapot": ("snowfield-s", "desert-sand-s"),
    "umbrella": ("beach-s", "swimming_pool-outdoor-s"),
    "wine_bottle": ("cavern-indoor-s", "desert-sand-s"),
}
"""Where a category habitually occurs, most usual first; every background is typical of three categories."""
