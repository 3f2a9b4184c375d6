"""What a split bill must come to."""

import unittest

from bill import split


class SplitTest(unittest.TestCase):
    """Nobody pays too much, and nobody leaves without paying."""

    def test_an_even_bill(self) -> None:
        """Twelve among four is three each."""
        self.assertEqual(split(1200, 4), [300, 300, 300, 300])

    def test_odd_cents_are_paid_by_whoever_comes_first(self) -> None:
        """Ten among three leaves a cent over."""
        self.assertEqual(split(1000, 3), [334, 333, 333])

    def test_the_shares_are_the_bill(self) -> None:
        """Whatever it is, it is paid once."""
        for total in range(200):
            self.assertEqual(sum(split(total, 7)), total)


if __name__ == "__main__":
    unittest.main()
