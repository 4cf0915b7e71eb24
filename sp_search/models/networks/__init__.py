"""The nn.Modules of the model parts, one file each, apart from the parts because a part imports no torch.

A network's file needs torch and `ProgramModel` alone: an exported program carries it as it is.
"""
