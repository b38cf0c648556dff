import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";

interface Job {
  name: string;
  scheduled: boolean;
  active: boolean;
  changed: boolean;
  /** Of the last run that ended; null: none is known. */
  last_status: string | null;
  failures: number;
  is_late: boolean;
}

/** Scheduled jobs: they exist, are as intended, are started on time, and succeed. */
export const jobs: Check = async ({ sql, has }) => {
  const [cron] = await sql`
    select to_regclass('cron.job') is not null as exists,
      coalesce(current_setting('cron.log_run', true) in ('off', 'false', '0'), false) as silent
  `;
  if (!has("bulwark_private.jobs") || !cron?.["exists"]) return [];
  const rows = await sql<Job[]>`
    with intended as (
      select 'bulwark-' || b.name as name, b.command, i.seconds,
        bulwark_private.crontab(b.name, i.seconds) as schedule
      from bulwark_private.jobs b
      cross join lateral (
        select coalesce(
          extract(epoch from b.every)::integer,
          bulwark_private.setting(b.seconds_setting)::integer
        ) as seconds
      ) i
      where b.function_path is null or exists (
        select from pg_proc p where p.pronamespace = to_regnamespace('net')
          and p.proname = 'http_post'
      )
    ),
    -- Before the first run, the time at which the first of our jobs ran.
    history as (
      select min(d.start_time) as since
      from cron.job_run_details d
      join cron.job j on j.jobid = d.jobid and j.jobname in (select name from intended)
    )
    select
      i.name, j.jobid is not null as scheduled, j.active is not false as active,
      j.jobid is not null and (
        j.command <> i.command or j.schedule <> i.schedule or j.database <> current_database()
      ) as changed,
      ended.status as last_status,
      (
        select count(*) from cron.job_run_details d
        where d.jobid = j.jobid and d.status = 'failed'
      )::integer as failures,
      -- Runs are kept for a day, so that rarer jobs than hourly ones may have none.
      i.seconds <= 3600 and coalesce(
        coalesce(started.at, h.since, ${installedAt(sql, has)})
          < now() - greatest(interval '5 minutes', make_interval(secs => 3 * i.seconds)),
        false
      ) as is_late
    from intended i
    cross join history h
    left join cron.job j on j.jobname = i.name
    left join lateral (
      select d.status from cron.job_run_details d
      where d.jobid = j.jobid and d.status in ('succeeded', 'failed')
      order by d.runid desc limit 1
    ) ended on true
    left join lateral (
      select max(d.start_time) as at from cron.job_run_details d where d.jobid = j.jobid
    ) started on true
    order by i.name
  `;
  const found = rows.flatMap((job) => problemsOf(job, Boolean(cron["silent"])));
  if (cron["silent"]) {
    found.push({
      code: "JOB_LOG_OFF",
      object: "cron.log_run",
      message: "pg_cron keeps no log of its runs: whether jobs run cannot be known",
    });
  }
  const others = await sql<{ jobname: string }[]>`
    select distinct j.jobname from cron.job j
    where j.jobname like 'bulwark-%'
      and substr(j.jobname, 9) not in (select b.name from bulwark_private.jobs b)
    order by 1
  `;
  return [
    ...found,
    ...others.map(({ jobname }): Found => ({
      code: "JOB_UNKNOWN",
      object: jobname,
      message: `The job ${jobname} is named like one of Bulwark's and is none of them`,
    })),
  ];
};

/** When the log began: jobs that never ran since then are late. */
function installedAt(sql: Parameters<Check>[0]["sql"], has: (name: string) => boolean) {
  return has("bulwark_private.audit_timelines")
    ? sql`(select max(t.started_at) from bulwark_private.audit_timelines t)`
    : sql`null::timestamptz`;
}

function problemsOf(job: Job, isSilent: boolean): Found[] {
  const problem = (code: Found["code"], message: string): Found[] => [
    { code, object: job.name, message },
  ];
  if (!job.scheduled) return problem("JOB_NOT_SCHEDULED", `The job ${job.name} is not scheduled`);
  if (!job.active) return problem("JOB_DISABLED", `The job ${job.name} is scheduled, but inactive`);
  const changed = job.changed
    ? problem("JOB_CHANGED", `The job ${job.name} is scheduled otherwise than intended`)
    : [];
  if (isSilent) return changed;
  if (job.is_late) {
    return [...changed, ...problem("JOB_NOT_RUNNING", `The job ${job.name} is not being started`)];
  }
  if (job.last_status !== "failed") return changed;
  const message =
    `The last run of the job ${job.name} failed; ${job.failures} failed runs are known`;
  return [...changed, ...problem("JOB_FAILING", message)];
}
