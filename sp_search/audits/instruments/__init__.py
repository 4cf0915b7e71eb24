"""What audits measure with, apart from the audits because a part imports no torch with its module."""
