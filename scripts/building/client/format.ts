import { currentDeno } from "../../stack/binaries.ts";
import { inRepository } from "../../stack/paths.ts";

/** Formats generated TypeScript as `deno fmt` does, which may need a second pass for a long union. */
export async function format(source: string): Promise<string> {
  const once = await formatted(source);
  return once === source ? source : await format(once);
}

async function formatted(source: string): Promise<string> {
  const child = new Deno.Command(currentDeno(), {
    args: ["fmt", "--ext=ts", `--config=${inRepository("deno.json")}`, "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  await new Blob([source]).stream().pipeTo(child.stdin);
  return new TextDecoder().decode((await child.output()).stdout);
}
