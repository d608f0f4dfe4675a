"""How long `litellm.cost_per_token` takes on one core: run by the bench in an environment of its own.

In: JSON lines of [model, prompt tokens, cached prompt tokens, output tokens]. Out: JSON of the rows that litellm has a
price for, and the processor seconds they took.
"""

import json
import sys
import time

import litellm


def main() -> None:
    rows = [json.loads(line) for line in sys.stdin]
    known = [row for row in rows if row[0] in litellm.model_cost]
    start = time.process_time()
    for model, prompt, cached, output in known:
        litellm.cost_per_token(model, prompt_tokens=prompt, completion_tokens=output, cache_read_input_tokens=cached)
    print(json.dumps({"rows": len(known), "seconds": time.process_time() - start}))


if __name__ == "__main__":
    main()
