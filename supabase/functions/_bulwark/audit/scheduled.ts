import type { Handler } from "../foundation/http.ts";
import type { DataClient } from "../foundation/clients.ts";
import { forScheduler, schedulerTimeoutMs } from "../foundation/scheduler.ts";
import type { Limit } from "../rate_limits/mod.ts";
import { archive, restore } from "./archive/routes.ts";
import { makeCheckpoint, readLogKeys } from "./checkpoint.ts";
import type { AuditEnv } from "./env.ts";
import { checkpointLog } from "./log.ts";
import { openSink } from "./sink.ts";

/** The routes for the scheduler, with a client of the service role for each request. */
export function scheduledRoutes(
  limit: Limit,
  env: AuditEnv,
  clientFor: (request: Request, options: { timeoutMs: number }) => DataClient,
): Record<string, Handler> {
  const route = (run: (request: Request, client: DataClient) => Promise<unknown>) =>
    forScheduler(
      limit,
      env.schedulerSecret,
      async (request) => {
        const client = clientFor(request, { timeoutMs: schedulerTimeoutMs });
        return Response.json(await run(request, client));
      },
    );
  return {
    "POST /bulwark-audit/checkpoint": route(async (_request, client) =>
      await makeCheckpoint(checkpointLog(client), await readLogKeys(env), openSink(env))
    ),
    "POST /bulwark-audit/archive": route((request, client) => archive(request, env, client)),
    "POST /bulwark-audit/archive/restore": route((request, client) =>
      restore(request, env, client)
    ),
  };
}
