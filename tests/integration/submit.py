"""Ray's JobSubmissionClient as a script in the head's environment: submits, follows the log, says how it ended.

    python submit.py ADDRESS WORKING_DIR STOP_AT ENTRYPOINT

Stops the job once its log says STOP_AT, where that is not empty.
"""

import asyncio
import sys

from ray.job_submission import JobSubmissionClient


async def follow(client: JobSubmissionClient, job: str, stop_at: str) -> None:
    said = ""
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)
        said += lines
        if stop_at and stop_at in said:
            stop_at = ""
            client.stop_job(job)


def main() -> None:
    address, working_dir, stop_at, entrypoint = sys.argv[1:]
    client = JobSubmissionClient(address)
    job = client.submit_job(entrypoint=entrypoint, runtime_env={"working_dir": working_dir})
    asyncio.run(follow(client, job, stop_at))
    info = client.get_job_info(job)
    print(f"\nstatus: {info.status.value}, exit code {info.driver_exit_code}")


if __name__ == "__main__":
    main()
