//! Credentials withheld or swapped, a proxy that throttles, resets, delays or garbles.
