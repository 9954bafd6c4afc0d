"""What was recorded of two runs that nobody trained, for the tests of the feature explorer."""


def small_recording():
    """Sixty drawn faces, two methods, three of five epochs: each face in a cell of its own.

    Returns:
        The arguments of FeatureExplorer.
    """
    import torch

    import eacbook as eb
    from eacbook.training.recording import Recorded

    faces = eb.synthetic_faces(84, 7, 7)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(84, generator=generator)[:60]
    true = faces.train.labels[rows]
    given = torch.where(torch.arange(60) % 4 == 3, (true + 1) % 7, true)
    cells = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
    recorded, positions = {}, {}
    for name in ("baseline", "EAC & <co>"):
        features = torch.rand(5, 60, 8, generator=generator)
        recorded[name] = Recorded(rows, given, true, features, *[torch.zeros(0)] * 4)
        orders = [torch.randperm(64, generator=generator)[:60] for _ in range(3)]
        positions[name] = torch.stack([cells[order] for order in orders])
    return recorded, positions, [0, 2, 4], faces
