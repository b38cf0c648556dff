import type { DataClient } from "../foundation/clients.ts";
import { unwrap } from "../foundation/errors.ts";
import type { Charged, ChooseRule } from "../rate_limits/mod.ts";
import type { Caller } from "../rate_limits/identity.ts";
import type { ExportOptions, ExportSource } from "./export.ts";

const idOf = (caller: Caller) => "userId" in caller ? caller.userId : caller.apiKeyId;
const organizationOf = (id: string | null) => id === null ? {} : { organization_id: id };

/**
 * The rate limit rule of an export request. A request that continues a charged export counts as a
 * plain request, every other one as an export. A cursor alone does not prove a continuation.
 */
export function exportRule(serviceFor: (request: Request) => DataClient): ChooseRule {
  return async (request, caller) => {
    const { searchParams } = new URL(request.url);
    const after = searchParams.get("cursor");
    const organization = searchParams.get("organization_id");
    if (!after || !caller) return "export";
    const { data } = await serviceFor(request).rpc("continue_audit_export", {
      caller: idOf(caller),
      after,
      ...organizationOf(organization),
    });
    return data === true ? "api_relaxed" : "export";
  };
}

/** A source that records the progress of a request for each page before the page is sent. */
export function notingPages(
  source: ExportSource,
  service: DataClient,
  { rule, caller }: Charged,
  { organization_id, limit }: Pick<ExportOptions, "organization_id" | "limit">,
): ExportSource {
  let begins = rule === "export";
  let left = limit;
  return {
    nodes: source.nodes,
    async page(after, pageSize, signed) {
      const page = await source.page(after, pageSize, signed);
      for (const { entries } of page.groups) left -= entries.length;
      const reached = page.next ?? page.cursor ?? after;
      if (caller && reached) {
        const ends = page.next === null || left <= 0;
        const noted = { caller: idOf(caller), reached, begins, ends };
        unwrap(
          await service.rpc("note_audit_export", { ...noted, ...organizationOf(organization_id) }),
        );
        begins = false;
      }
      return page;
    },
  };
}
