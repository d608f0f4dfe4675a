"""Random numbers as columns: each is a pure function of (seed, name of the draw, row), so chunks change nothing.

Source: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import polars as pl

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_HEX = pl.Series("hex", [f"{value:04x}" for value in range(1 << 16)])


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of one seed."""

    seed: int

    def key(self, name: str) -> int:
        """64 bits that belong to the seed and a name."""
        return int.from_bytes(blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest(), "little")

    def bits(self, name: str, row: str = "row") -> pl.Expr:
        """64 random bits for each value of the column `row`, as UInt64."""
        mixed = pl.col(row) * _u64(_GOLDEN) + _u64(self.key(name))
        mixed = (mixed ^ (mixed // _u64(1 << 30))) * _u64(_FIRST)
        mixed = (mixed ^ (mixed // _u64(1 << 27))) * _u64(_SECOND)
        return mixed ^ (mixed // _u64(1 << 31))

    def uniform(self, name: str, row: str = "row") -> pl.Expr:
        """Float64 in [0, 1)."""
        return (self.bits(name, row) // _u64(1 << 11)).cast(pl.Float64) * 2.0**-53

    def happens(self, name: str, share: float | pl.Expr, row: str = "row") -> pl.Expr:
        """True in that share of rows."""
        return self.uniform(name, row) < share

    def lognormal(self, name: str, median: pl.Expr, sigma: float, row: str = "row") -> pl.Expr:
        """Positive, skewed to the right, half of it below `median`."""
        radius = (-2.0 * (1.0 - self.uniform(f"{name}/radius", row)).log()).sqrt()
        normal = radius * (self.uniform(f"{name}/angle", row) * (2.0 * math.pi)).cos()
        return median * (normal * sigma).exp()

    def choice(self, name: str, weights: Sequence[float], row: str = "row") -> pl.Expr:
        """Index into `weights`, each as often as its weight says."""
        total = math.fsum(weights)
        reached, bounds = 0.0, list[float]()
        for weight in weights[:-1]:
            reached += weight / total
            bounds.append(reached)
        if not bounds:
            return pl.lit(0, pl.UInt32) + (pl.col(row) * 0).cast(pl.UInt32)
        return pl.lit(pl.Series(bounds)).search_sorted(self.uniform(name, row), side="right").cast(pl.UInt32)

    def uuid(self, name: str, row: str = "row") -> pl.Expr:
        """A version 4 UUID as text."""
        high, low = self.bits(f"{name}/high", row), self.bits(f"{name}/low", row)
        third = (_quarter(high, 0) & _u64(0x0FFF)) | _u64(0x4000)
        fourth = (_quarter(low, 3) & _u64(0x3FFF)) | _u64(0x8000)
        parts = (_quarter(high, 3), _quarter(high, 2), _quarter(high, 1), third, fourth)
        first, second, third_group, fourth_group, fifth = (_hex(part) for part in parts)
        rest = [_hex(_quarter(low, at)) for at in (2, 1, 0)]
        dash = pl.lit("-")
        return pl.concat_str([first, second, dash, third_group, dash, fourth_group, dash, fifth, dash, *rest])

    def hex16(self, name: str, row: str = "row") -> pl.Expr:
        """16 hexadecimal digits."""
        value = self.bits(name, row)
        return pl.concat_str([_hex(_quarter(value, at)) for at in (3, 2, 1, 0)])

    def text_uuid(self, name: str) -> str:
        """A version 4 UUID that belongs to the seed and a name."""
        frame = pl.select(pl.lit(0, pl.UInt64).alias("row"))
        return frame.select(self.uuid(name)).item()


def pick(values: Sequence[str | None] | Sequence[int] | Sequence[float] | Sequence[bool], index: pl.Expr) -> pl.Expr:
    """The values at the indexes."""
    return pl.lit(pl.Series(values)).gather(index)


def zipf(count: int, exponent: float = 1.0) -> list[float]:
    """Weights of ranks: the first is used most."""
    return [1.0 / (rank + 1) ** exponent for rank in range(count)]


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, pl.UInt64)


def _quarter(bits: pl.Expr, at: int) -> pl.Expr:
    """16 of the 64 bits; 0 are the lowest."""
    return (bits // _u64(1 << (16 * at))) & _u64(0xFFFF)


def _hex(quarter: pl.Expr) -> pl.Expr:
    return pl.lit(_HEX).gather(quarter.cast(pl.UInt32))
