"""One seed out of several numbers, so that nothing random has to be saved to resume."""


def mixed(*numbers: int) -> int:
    """Turn a few numbers into one seed of 63 bits; different numbers give different seeds.

    Each is spread by the finaliser of splitmix64 (Steele et al., 2014) before the next is added.
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & (1 << 64) - 1
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        state = (state ^ state >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        state ^= state >> 31
    return state >> 1
