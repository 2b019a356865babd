/**
 * The sums of one user, in the text format of Prometheus: the same names as those of the whole process have, and nothing
 * in them that says what others do.
 */
import type { MetricsData } from "../Metrics.js"

/**
 * Renders them.
 */
export const renderSums = (data: MetricsData): string =>
  [
    "# HELP sandbox_requests_total Requests that have ended, by outcome.",
    "# TYPE sandbox_requests_total counter",
    `sandbox_requests_total{outcome="success"} ${data.successfulRequests}`,
    `sandbox_requests_total{outcome="failure"} ${data.failedRequests}`,
    "# HELP sandbox_request_duration_seconds How long requests took, in seconds.",
    "# TYPE sandbox_request_duration_seconds summary",
    `sandbox_request_duration_seconds_sum ${data.averageResponseTime * data.totalRequests / 1_000}`,
    `sandbox_request_duration_seconds_count ${data.totalRequests}`,
    "# HELP sandbox_execution_seconds_total How long runs of code and commands took together, in seconds.",
    "# TYPE sandbox_execution_seconds_total counter",
    `sandbox_execution_seconds_total ${data.totalExecutionTime / 1_000}`,
    "# HELP sandbox_active_sandboxes Sandboxes that were created and are not deleted.",
    "# TYPE sandbox_active_sandboxes gauge",
    `sandbox_active_sandboxes ${data.activeSandboxes}`,
    ""
  ].join("\n")
