"""Models in another precision than their own, and what that costs them."""
