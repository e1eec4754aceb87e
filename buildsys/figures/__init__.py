"""What steps measure and builds report, as types: read once where JSON enters, attributes from then on."""
