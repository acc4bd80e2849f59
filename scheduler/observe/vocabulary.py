"""The Chinese for the machine's own words (states, reasons, kinds), and the one way in which people are shown an instant."""

from datetime import datetime

from scheduler.core.language import Language

_CHINESE = {
    # states of a Run
    "waiting": "等待上游",
    "delayed": "等待到期",
    "pending": "排队中",
    "running": "运行中",
    "succeeded": "成功",
    "failed": "失败",
    "cancelled": "已取消",
    "skipped": "已跳过",
    "dead": "死信",
    # states of a task
    "ok": "正常",
    "broken": "无法加载",
    "held": "已扣住",
    "paused": "已暂停",
    "resumed": "已恢复",
    "disabled": "已停用",
    # reasons
    "error": "出错",
    "timed_out": "超时",
    "crashed": "进程崩溃",
    "oom": "内存超限",
    "lost": "失联",
    "poison": "反复致死",
    "retry": "将重试",
    "scheduled": "定时提交",
    "shutdown": "停机交还",
    "due": "已到期",
    "rate_limited": "限流",
    "concurrency": "并发已满",
    "no_worker": "无可用的工作进程",
    "gpu_busy": "GPU 忙",
    "not_ready": "尚未就绪",
    "missed": "错过",
    "misfired": "误点",
    "coalesced": "已合并",
    "overlap": "与上一次重叠",
    "passed": "时刻已过",
    "task_removed": "任务已删除",
    "refused": "被拒绝",
    # kinds of what can be paused
    "task": "任务",
    "queue": "队列",
    "schedule": "调度",
}


def word(text: str, lang: Language) -> str:
    """A word of the machine in the reader's language; any other text as it is."""
    return _CHINESE.get(text, text) if lang == "zh" else text


def instant(moment: datetime, *, milliseconds: bool = False) -> str:
    """``2026-12-25 09:00:00 +0800``: how people are shown a date and time. Programs get ISO 8601 with offset."""
    fraction = f".{moment.microsecond // 1000:03}" if milliseconds else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} {moment:%z}"
