import type { Calls } from "../calls.ts";
import type { Json } from "../generated/database.ts";

/** Settings of the installation (system:admin). */
export function settings<T extends boolean>({ rpc }: Calls<T>) {
  return {
    /** All settings, with a JSON Schema of the values that can be set. */
    list: () => rpc("list_settings", {}),
    set: (name: string, value: Json) => rpc("set_setting", { name, value }),
  };
}
