import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";

/** Rate limits: rules, exceptions, listed networks and blocks. */
export function limits<T extends boolean>({ rpc, select }: Calls<T>) {
  return {
    rules: () => select("rate_limit_rules", (query) => query.order("name")),
    /** The overrides that the caller may see: for organizations and API keys. */
    overrides: () => select("rate_limit_overrides", (query) => query.order("rule")),
    /** The limits as they apply to an organization, and how much its API keys have left. */
    usage: (organization: string | null) =>
      rpc("rate_limit_usage", { organization_id: organization }),
    /** Changes a rule, or its override for an organization or an API key. */
    set: (limit: Args<"set_rate_limit">) => rpc("set_rate_limit", limit),
    /** Removes an override. */
    clear: (override: Args<"clear_rate_limit">) => rpc("clear_rate_limit", override),
    networks: () =>
      select("rate_limit_networks", (query) => query.order("created_at", { ascending: false })),
    /** Always allows or always blocks a network. */
    listNetwork: (network: Args<"list_network">) => rpc("list_network", network),
    unlistNetwork: (network: string) => rpc("unlist_network", { network }),
    /** The blocks that the caller may see, newest first. */
    blocks: () =>
      select("rate_limit_blocks", (query) => query.order("blocked_at", { ascending: false })),
    liftBlock: (block: string) => rpc("lift_rate_limit_block", { block_id: block }),
  };
}
