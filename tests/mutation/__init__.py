"""Every declared thing is changed in turn: what decides a build is seen, what means nothing is not."""
