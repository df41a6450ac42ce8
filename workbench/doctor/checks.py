"""``examine``: all checks, one after the other."""

from functools import partial

from workbench.doctor.browser import check_browser
from workbench.doctor.finding import Check, Finding, findings
from workbench.doctor.folders import check_cache, check_reports
from workbench.doctor.gpu import check_gpu
from workbench.doctor.kernel import ask_kernel, check_kernel, check_registered
from workbench.doctor.machine import check_memory, check_threads
from workbench.doctor.software import check_software


def examine() -> list[Finding]:
    """Check this machine and environment; takes a few seconds, most of them a kernel that imports torch.

    torch is never imported here, so that one that is broken, or takes its process with it, is a finding.
    """
    answers = ask_kernel()
    checks: dict[str, Check] = {
        "software": check_software,
        "kernel": partial(check_kernel, answers),
        "kernel python3": check_registered,
        "gpu": partial(check_gpu, answers),
        "threads": partial(check_threads, answers),
        "memory": check_memory,
        "reports": check_reports,
        "cache": check_cache,
        "browser": check_browser,
    }
    return [each for name, check in checks.items() for each in findings(name, check)]
