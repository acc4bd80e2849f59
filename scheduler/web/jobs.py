"""The seed's own paths, with its exact answers: the scheduler's status, and pausing and resuming a job."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter


def routes(center: "SchedulerCenter") -> APIRouter:
    router = APIRouter(prefix="/scheduler", tags=["scheduler"])

    @router.get("/status")
    def status() -> dict[str, Any]:
        """``next_run_time`` is ISO 8601 with its offset, or null (paused, or never again)."""
        jobs = [
            {
                "id": job.id,
                "name": job.name,
                "next_run_time": job.next_run_time.isoformat() if job.next_run_time else None,
                "trigger": job.trigger,
            }
            for job in center.get_jobs()
        ]
        return {"is_running": center.is_running, "jobs_count": len(jobs), "jobs": jobs}

    @router.post("/jobs/{job_id}/pause")
    def pause(job_id: str) -> dict[str, str]:
        """It fires no more until it is resumed. 404 names the nearest job there is."""
        center.pause_job(job_id)
        return {"message": f"任务 {job_id} 已暂停"}

    @router.post("/jobs/{job_id}/resume")
    def resume(job_id: str) -> dict[str, str]:
        """It fires again; what fell due while it was paused does not."""
        center.resume_job(job_id)
        return {"message": f"任务 {job_id} 已恢复"}

    return router
