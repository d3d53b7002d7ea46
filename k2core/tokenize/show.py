"""The mixture for people: a table and a picture."""

from k2core.reporting import Reporter
from k2core.tokenize.encode import EncodedShards
from schemas.tokenize import TokenManifest


def show_mixture(manifest: TokenManifest, encoded: EncodedShards, report: Reporter) -> None:
    """Report what is there, what is read and how well the vocabulary fits, by domain."""
    from matplotlib.figure import Figure

    rows: list[dict[str, object]] = []
    for name, domain in manifest.domains.items():
        documents, available, num_bytes = encoded.totals[name]
        rows.append(
            {
                "domain": name,
                "weight": domain.weight,
                "documents": documents,
                "available_tokens": available,
                "bytes_per_token": round(num_bytes / available, 3),
                "budget_tokens": domain.budget_tokens,
                "epochs": round(domain.epochs, 3),
                "heldout_documents": domain.num_heldout_documents,
                "heldout_tokens": domain.heldout_tokens,
            }
        )
    report.table("Mixture", rows)
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    names = list(manifest.domains)
    axes.barh(names, [int(str(row["available_tokens"])) for row in rows], label="available")
    budgets = [domain.budget_tokens for domain in manifest.domains.values()]
    axes.barh(names, budgets, height=0.4, label="read, repetitions included")
    axes.set_xlabel("tokens")
    axes.legend()
    report.plot("Tokens by domain", figure)
