"""What browsers call themselves: some 200 agents of several makers, versions and devices."""

import itertools
from collections.abc import Iterable, Iterator

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0"
_VIEW = "AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{chrome}.0.7444.102 Mobile Safari/537.36"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS {{ios}} like Mac OS X) {_SAFARI}"
_PHONES = (
    *("SM-A057M", "SM-A155M", "SM-A256E", "SM-A356E", "SM-S911B", "SM-S921B", "SM-S938B", "SM-F731B"),
    *(
        "moto g(30)",
        "moto g32",
        "moto g54 5G",
        "moto g84 5G",
        "moto e22",
        "motorola edge 40",
        "motorola razr 40",
    ),
    *("2201117TL", "22101316G", "23053RN02A", "23124RA7EO", "2312DRA50G", "M2101K6G"),
)
_DESKS = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
_CHROMES = range(134, 144)
_IPHONES = ("16_7", "17_5", "17_6", "18_1", "18_3", "18_5", "18_6")


def _every(pattern: str, **choices: Iterable[object]) -> Iterator[str]:
    """The pattern with each combination of the choices."""
    for chosen in itertools.product(*choices.values()):
        yield pattern.format(**dict(zip(choices, chosen, strict=True)))


AGENTS = (
    *_every(f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36", chrome=_CHROMES),
    *_every(
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/{samsung}.0 "
        "Chrome/130.0.0.0 Mobile Safari/537.36",
        samsung=range(25, 30),
    ),
    *_every(
        f"Mozilla/5.0 (Linux; Android 14; {{phone}} Build/UP1A.231005.007; wv) {_VIEW} Instagram 361.0.0.46.88 "
        "Android (34/14; 420dpi; 1080x2186; {phone}; pt_BR; 674675155)",
        phone=_PHONES,
        chrome=(138, 142),
    ),
    *_every(
        f"Mozilla/5.0 (Linux; Android 15; {{phone}} Build/AP3A.240905.015; wv) {_VIEW} "
        "[FB_IAB/FB4A;FBAV/485.0.0.53.81;]",
        phone=_PHONES,
        chrome=(141,),
    ),
    *_every(
        _IPHONE + " Version/{safari}.0 Mobile/15E148 Safari/604.1",
        ios=_IPHONES,
        safari=(17, 18),
    ),
    *_every(
        _IPHONE
        + " Mobile/15E148 Instagram {instagram}.0.0.30.90 (iPhone{model}; iOS {ios}; pt_BR; pt; scale=3.00; "
        "1170x2532; 674675155)",
        ios=_IPHONES,
        model=("13,2", "14,5", "16,1"),
        instagram=(355, 361),
    ),
    *_every(
        _IPHONE + " CriOS/{chrome}.0.7444.46 Mobile/15E148 Safari/604.1",
        ios=("17_6", "18_5"),
        chrome=(138, 140, 142),
    ),
    *_every(
        f"Mozilla/5.0 (iPad; CPU OS {{ios}} like Mac OS X) {_SAFARI} Version/17.6 Mobile/15E148 Safari/604.1",
        ios=_IPHONES,
    ),
    *_every(f"Mozilla/5.0 ({{desk}}) {_CHROME} Safari/537.36", desk=_DESKS, chrome=_CHROMES),
    *_every(
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36 Edg/{{chrome}}.0.0.0",
        chrome=_CHROMES,
    ),
    *_every(
        "Mozilla/5.0 ({desk}; rv:{firefox}.0) Gecko/20100101 Firefox/{firefox}.0",
        desk=_DESKS,
        firefox=(128, 140, 143, 144),
    ),
    *_every(
        "Mozilla/5.0 (Android 15; Mobile; rv:{firefox}.0) Gecko/{firefox}.0 Firefox/{firefox}.0",
        firefox=(143, 144),
    ),
    *_every(
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Version/{{safari}} Safari/605.1.15",
        safari=("16.6", "17.6", "18.3", "18.6", "26.0"),
    ),
)
"""Of people on phones, tablets and desks; none is a robot's, a television's, Opera's or a Chromebook's."""
