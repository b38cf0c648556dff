/** Each alert of deploy/prometheus fires when it must and is silent when it need not, by promtool. */
import assert from "node:assert/strict";

/** Values a minute, in promtool's notation, by series. */
type Series = Record<string, string>;

interface Case {
  severity: string;
  /** Minutes after which it fires with these series. */
  after: number;
  fires: Series;
  labels?: Record<string, string>;
  summary: string;
  /** For the same time, with these it is silent. */
  silent: Series[];
}

/** A gauge that keeps its value for a day and an hour. */
const level = (value: number) => `${value}x1500`;
/** Requests of this many a minute under 2^n seconds, and none below. */
const buckets = (name: string, le: number, lower: number): Series => ({
  [`${name}_bucket{le="${lower}"}`]: "0+0x30",
  [`${name}_bucket{le="${le}"}`]: "0+60x30",
  [`${name}_bucket{le="+Inf"}`]: "0+60x30",
});
const requests = "bulwark_api_response_time_seconds";
const queries = "bulwark_database_query_time_seconds";
const lag = (name: string, value: number): Series => ({
  [`bulwark_${name}_seconds`]: level(value),
});

const cases: Record<string, Case> = {
  BulwarkResponsesSlow: {
    severity: "warning",
    after: 15,
    fires: buckets(requests, 0.256, 0.128),
    summary: "95 % of requests take up to 249.6ms",
    silent: [buckets(requests, 0.128, 0.064)],
  },
  BulwarkResponsesVerySlow: {
    severity: "critical",
    after: 15,
    fires: buckets(requests, 2.048, 1.024),
    summary: "95 % of requests take up to 1.997s",
    silent: [buckets(requests, 0.512, 0.256)],
  },
  BulwarkQueriesSlow: {
    severity: "warning",
    after: 15,
    fires: buckets(queries, 0.064, 0.032),
    summary: "95 % of calls of the Data API take up to 62.4ms",
    silent: [buckets(queries, 0.032, 0.016)],
  },
  BulwarkQueriesVerySlow: {
    severity: "critical",
    after: 15,
    fires: buckets(queries, 0.256, 0.128),
    summary: "95 % of calls of the Data API take up to 249.6ms",
    silent: [buckets(queries, 0.128, 0.064)],
  },
  BulwarkMemoryHigh: {
    severity: "warning",
    after: 5,
    fires: { bulwark_memory_usage_ratio: level(0.85) },
    summary: "An isolate uses 85% of its memory",
    silent: [{ bulwark_memory_usage_ratio: level(0.75) }],
  },
  BulwarkMemoryExhausted: {
    severity: "critical",
    after: 5,
    fires: { bulwark_memory_usage_ratio: level(0.97) },
    summary: "An isolate uses 97% of its memory",
    silent: [{ bulwark_memory_usage_ratio: level(0.9) }],
  },
  BulwarkProcessorBusy: {
    severity: "warning",
    after: 15,
    fires: { bulwark_cpu_usage_ratio: level(0.75) },
    summary: "An isolate uses 75% of a processor",
    silent: [{ bulwark_cpu_usage_ratio: level(0.5) }],
  },
  BulwarkProcessorExhausted: {
    severity: "critical",
    after: 15,
    fires: { bulwark_cpu_usage_ratio: level(1) },
    summary: "An isolate uses 100% of a processor",
    silent: [{ bulwark_cpu_usage_ratio: level(0.8) }],
  },
  BulwarkErrors: {
    severity: "critical",
    after: 15,
    fires: {
      [`${requests}_count{status="2xx"}`]: "0+90x30",
      [`${requests}_count{status="5xx"}`]: "0+10x30",
    },
    summary: "10% of requests fail",
    silent: [{
      [`${requests}_count{status="2xx"}`]: "0+995x30",
      [`${requests}_count{status="4xx"}`]: "0+500x30",
      [`${requests}_count{status="5xx"}`]: "0+5x30",
    }],
  },
  BulwarkAlertCritical: {
    severity: "critical",
    after: 1,
    fires: { 'bulwark_alert_level{alert="jobs"}': level(2) },
    labels: { alert: "jobs" },
    summary: "Bulwark's own alert jobs is critical",
    silent: [{ 'bulwark_alert_level{alert="jobs"}': level(1) }],
  },
  BulwarkCacheAway: {
    severity: "warning",
    after: 15,
    fires: { bulwark_cache_unavailable_total: "0+1x30" },
    summary: "Functions work without their Redis",
    silent: [{ bulwark_cache_unavailable_total: level(7) }],
  },
  BulwarkMetricsMissing: {
    severity: "warning",
    after: 6,
    fires: { bulwark_levels_measured: level(1) },
    summary: "Nothing is scraped",
    silent: [{ 'bulwark_alert_level{alert="jobs"}': level(0) }],
  },
  BulwarkStateNotMeasured: {
    severity: "critical",
    after: 11,
    fires: { 'bulwark_alert_level{alert="jobs"}': level(0) },
    summary: "Scheduled jobs have stopped, so nothing is sealed, checked or measured",
    silent: [{ 'bulwark_levels_measured{source="audit"}': level(0) }],
  },
  BulwarkMeasurementFails: {
    severity: "warning",
    after: 11,
    fires: { 'bulwark_coverage_measured{source="mfa"}': level(0) },
    labels: { source: "mfa" },
    summary: "The state of mfa cannot be measured; the log of the database says why",
    silent: [{
      'bulwark_coverage_measured{source="mfa"}': level(1),
      'bulwark_levels_measured{source="audit"}': level(1),
    }],
  },
  BulwarkSealLate: {
    severity: "critical",
    after: 3,
    fires: lag("audit_seal_lag", 240),
    summary: "Entries of the audit log have waited 4m 0s for a seal",
    silent: [lag("audit_seal_lag", 60), { bulwark_audit_seal_lag_seconds: "0 200 0 200 0" }],
  },
  BulwarkCheckpointLate: {
    severity: "warning",
    after: 6,
    fires: lag("audit_checkpoint_lag", 600),
    summary: "Seals of the audit log have waited 10m 0s for a signature",
    silent: [
      lag("audit_checkpoint_lag", 60),
      // A log without new entries needs no new signature, however old the last one is.
      { ...lag("audit_checkpoint_lag", 0), ...lag("audit_checkpoint_age", 9e9) },
    ],
  },
  BulwarkCheckpointMissing: {
    severity: "critical",
    after: 6,
    fires: lag("audit_checkpoint_lag", 7200),
    summary: "The audit log has not been signed for 2h 0m 0s",
    silent: [lag("audit_checkpoint_lag", 600)],
  },
  BulwarkCheckpointsUndelivered: {
    severity: "warning",
    after: 16,
    fires: { bulwark_audit_checkpoints_undelivered: level(3) },
    summary: "3 checkpoints are stored in the database alone",
    silent: [{ bulwark_audit_checkpoints_undelivered: "1 1 1 0x20" }],
  },
  BulwarkVerificationFailed: {
    severity: "critical",
    after: 1,
    fires: { bulwark_audit_verification_failed: level(1) },
    summary: "The audit log was found altered or incomplete",
    silent: [{ bulwark_audit_verification_failed: level(0) }],
  },
  BulwarkVerificationStopped: {
    severity: "warning",
    after: 6,
    fires: lag("audit_verification_age", 3600),
    summary: "The audit log has not been verified for 1h 0m 0s",
    silent: [lag("audit_verification_age", 300)],
  },
  BulwarkAuditGap: {
    severity: "critical",
    after: 30,
    fires: { bulwark_audit_gaps: "2x10 3x20" },
    summary: "Events of Supabase Auth could not be recorded",
    silent: [{ bulwark_audit_gaps: level(3) }],
  },
  BulwarkJobLate: {
    severity: "warning",
    after: 6,
    fires: { 'bulwark_job_state{name="audit-seal"}': level(1) },
    labels: { name: "audit-seal" },
    summary: "The job audit-seal is not being started",
    silent: [0, 2, -1].map((state) => ({
      'bulwark_job_state{name="audit-seal"}': level(state),
    })),
  },
  BulwarkJobFails: {
    severity: "warning",
    after: 11,
    fires: { 'bulwark_job_state{name="audit-check"}': level(2) },
    labels: { name: "audit-check" },
    summary: "The job audit-check fails; cron.job_run_details says why",
    silent: [{ 'bulwark_job_state{name="audit-check"}': "2 2 2 0 2 2 2 0 2 2 2 2 2" }],
  },
  BulwarkJobNotScheduled: {
    severity: "warning",
    after: 11,
    fires: { 'bulwark_job_state{name="audit-checkpoint"}': level(3) },
    labels: { name: "audit-checkpoint" },
    summary: "The job audit-checkpoint is not scheduled; run bulwark.schedule_jobs()",
    silent: [{ 'bulwark_job_state{name="audit-checkpoint"}': level(0) }],
  },
  BulwarkDependencyDown: {
    severity: "warning",
    after: 6,
    fires: {
      'bulwark_dependency_up{dependency="redis"}': level(0),
      'bulwark_dependency_up{dependency="keys"}': level(1),
    },
    labels: { dependency: "redis" },
    summary: "The health check finds that redis does not work",
    silent: [{ 'bulwark_dependency_up{dependency="redis"}': level(1) }],
  },
  BulwarkWebhooksWait: {
    severity: "warning",
    after: 6,
    fires: lag("webhook_delivery_lag", 600),
    summary: "Webhook deliveries that are due have waited 10m 0s",
    silent: [lag("webhook_delivery_lag", 30)],
  },
  BulwarkWebhooksStopped: {
    severity: "critical",
    after: 6,
    fires: lag("webhook_delivery_lag", 7200),
    summary: "No webhook has been delivered for 2h 0m 0s",
    silent: [lag("webhook_delivery_lag", 600)],
  },
  BulwarkWebhooksDead: {
    severity: "warning",
    after: 20,
    fires: { 'bulwark_webhook_deliveries{status="dead"}': "4x10 5x20" },
    labels: { status: "dead" },
    summary: "Webhook deliveries were given up in the last 15 minutes",
    silent: [
      { 'bulwark_webhook_deliveries{status="dead"}': level(4) },
      { 'bulwark_webhook_deliveries{status="dead"}': "4x10 0x20" },
      { 'bulwark_webhook_deliveries{status="pending"}': "4x10 500x20" },
    ],
  },
  BulwarkWebhookEndpointDisabled: {
    severity: "warning",
    after: 20,
    fires: { 'bulwark_webhook_endpoints_disabled{reason="gone"}': "0x10 1x20" },
    labels: { reason: "gone" },
    summary: "A webhook endpoint was disabled because its receiver is gone",
    silent: [{ 'bulwark_webhook_endpoints_disabled{reason="manual"}': "0x10 1x20" }],
  },
  BulwarkSecurityEventCritical: {
    severity: "critical",
    after: 1,
    fires: { 'bulwark_security_events_open{severity="critical"}': level(2) },
    summary: "2 critical security events are open",
    silent: [{
      'bulwark_security_events_open{severity="critical"}': level(0),
      'bulwark_security_events_open{severity="high"}': level(9),
    }],
  },
  BulwarkSecurityEventsUnhandled: {
    severity: "warning",
    after: 61,
    fires: { 'bulwark_security_events_open{severity="high"}': level(1) },
    summary: "1 security events of high severity are open",
    silent: [{ 'bulwark_security_events_open{severity="high"}': "1x30 0 1x40" }],
  },
  BulwarkCallersBlocked: {
    severity: "warning",
    after: 6,
    fires: {
      'bulwark_blocked_callers{kind="address"}': level(60),
      'bulwark_blocked_callers{kind="pair"}': level(60),
    },
    summary: "120 callers are blocked: an attack, or a limit that is too low",
    silent: [{ 'bulwark_blocked_callers{kind="address"}': level(60) }],
  },
  BulwarkMfaOverdue: {
    severity: "warning",
    after: 1500,
    fires: { 'bulwark_mfa_members{state="overdue"}': level(4) },
    labels: { state: "overdue" },
    summary: "4 members lack the second factor that their organization requires",
    silent: [{ 'bulwark_mfa_members{state="missing"}': level(4) }],
  },
  BulwarkAlertRuleDisabled: {
    severity: "warning",
    after: 1500,
    fires: { 'bulwark_alerts_silenced{reason="alert_rule_disabled"}': level(1) },
    labels: { reason: "alert_rule_disabled" },
    summary: "1 rules have been switched off for a day (alert_rule_disabled)",
    silent: [{ 'bulwark_alerts_silenced{reason="no_receiver"}': level(1) }],
  },
  BulwarkAlertsReachNobody: {
    severity: "warning",
    after: 61,
    fires: { 'bulwark_alerts_silenced{reason="no_receiver"}': level(5) },
    labels: { reason: "no_receiver" },
    summary: "5 types of serious security events go to no webhook endpoint",
    silent: [{ 'bulwark_alerts_silenced{reason="no_receiver"}': level(0) }],
  },
  BulwarkDataKeyNearLimit: {
    severity: "info",
    after: 61,
    fires: { bulwark_data_key_usage_ratio: level(0.96) },
    summary: "A data key has used 96% of its limit",
    silent: [{ bulwark_data_key_usage_ratio: level(0.9) }],
  },
  BulwarkDataKeyExhausted: {
    severity: "warning",
    after: 16,
    fires: { bulwark_data_key_usage_ratio: level(1) },
    summary: "A data key has reached its limit, and no new version was made",
    silent: [{ bulwark_data_key_usage_ratio: level(0.99) }],
  },
  BulwarkReencryptionIncomplete: {
    severity: "warning",
    after: 16,
    fires: { bulwark_reencryptions_incomplete: level(1) },
    summary: "1 re-encryptions ended with rows that cannot be decrypted",
    silent: [{ bulwark_reencryptions_incomplete: level(0) }],
  },
};

const folder = new URL("../../deploy/prometheus/", import.meta.url);
const rules = await Deno.readTextFile(new URL("bulwark.rules.yml", folder));
const pageOf = (alert: string) =>
  new RegExp(`alert: ${alert}\\n[^]*?runbook: (\\S+)`).exec(rules)?.[1];
const installed = await new Deno.Command("sh", { args: ["-c", "command -v promtool"] }).output();
const promtool = {
  ignore: !installed.success,
  because: installed.success ? "" : " (needs promtool; Debian: prometheus)",
};

async function run(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("promtool", { args }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(success, text);
  return text;
}

/** The alert's cases as promtool's tests. */
function testsOf(alert: string, { severity, after, fires, labels, summary, silent }: Case) {
  const test = (series: Series, exp_alerts: unknown[]) => ({
    interval: "1m",
    input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
    alert_rule_test: [{ eval_time: `${after}m`, alertname: alert, exp_alerts }],
  });
  const exp_annotations = { summary, runbook: pageOf(alert) };
  const expected = { exp_labels: { severity, ...labels }, exp_annotations };
  return [test(fires, [expected]), ...silent.map((series) => test(series, []))];
}

Deno.test("MET-U30: every alert has a case that fires and one that does not", () => {
  const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(cases).sort(), alerts.sort());
  assert.ok(Object.values(cases).every(({ silent }) => silent.length > 0));
});

Deno.test({
  name: `MET-U31: promtool takes the configuration as it is shipped${promtool.because}`,
  ignore: promtool.ignore,
  async fn() {
    assert.match(await run("check", "config", new URL("prometheus.yml", folder).pathname), /valid/);
  },
});

Deno.test({
  name: `MET-U32: every alert fires when it must, and only then${promtool.because}`,
  ignore: promtool.ignore,
  async fn() {
    for (const [evaluation_interval, isLong] of [["1m", false], ["1h", true]] as const) {
      const chosen = Object.entries(cases).filter(([, { after }]) => after > 120 === isLong);
      const path = await Deno.makeTempFile({ suffix: ".yml" });
      const rule_files = [new URL("bulwark.rules.yml", folder).pathname];
      const tests = chosen.flatMap(([alert, one]) => testsOf(alert, one));
      await Deno.writeTextFile(path, JSON.stringify({ rule_files, evaluation_interval, tests }));
      try {
        await run("test", "rules", path);
      } finally {
        await Deno.remove(path);
      }
    }
  },
});
