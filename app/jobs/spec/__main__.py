"""`python -m app.jobs.spec` prints the JSON Schema of a job, as `docs/schema/` pins it."""

import json
import sys

from app.jobs.spec.job_spec import job_spec_json_schema

if __name__ == "__main__":
    json.dump(job_spec_json_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
