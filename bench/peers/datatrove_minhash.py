# mypy: ignore-errors
"""datatrove's side of `bench.dedup`: its four MinHash stages, from parquet to parquet, on one core.

    python datatrove_minhash.py FOLDER RESULT.json NGRAM BANDS ROWS LANGUAGE

FOLDER holds `documents/*.parquet` (`doc_id`, `text`); RESULT says the seconds and what was kept.
"""

import json
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter


def main(folder: Path, result: Path, config: MinhashConfig, language: str) -> None:
    """Run the stages one after another, as datatrove's example does."""
    work = folder / "datatrove"
    signatures, buckets, clusters = (str(work / name) for name in ("signed", "buckets", "clusters"))
    num_shards = len(list((folder / "documents").glob("*.parquet")))
    read = ParquetReader(
        str(folder / "documents"), batch_size=1000, id_key="doc_id", read_metadata=False
    )
    sign = MinhashDedupSignature(output_folder=signatures, config=config, language=language)
    if language == "cmn":  # a splitter with modules in it cannot be copied, as the executor does
        import jieba

        jieba.initialize()
    else:
        sign.get_signature(sign.get_shingles("The first text loads what the splitter needs."))
    stages = (
        (num_shards, [read, sign]),
        (config.num_buckets, [MinhashDedupBuckets(signatures, buckets, config=config)]),
        (1, [MinhashDedupCluster(buckets, clusters, config=config)]),
        (num_shards, [read, MinhashDedupFilter(clusters), ParquetWriter(str(work / "kept"))]),
    )
    started, busy = time.perf_counter(), time.process_time()
    for number, (tasks, pipeline) in enumerate(stages):
        logs = str(work / "logs" / str(number))
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=logs).run()
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    tables = [pq.read_table(path, columns=["id"]) for path in (work / "kept").glob("*.parquet")]
    kept = sorted(name for table in tables for name in table["id"].to_pylist())
    result.write_text(json.dumps({"seconds": seconds, "busy": busy, "kept": kept}))


if __name__ == "__main__":
    ngram, bands, rows = map(int, sys.argv[3:6])
    settings = MinhashConfig(n_grams=ngram, num_buckets=bands, hashes_per_bucket=rows)
    main(Path(sys.argv[1]), Path(sys.argv[2]), settings, sys.argv[6])
