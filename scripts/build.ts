/** `npm run build`: writes supabase/migrations from supabase/schemas. */
import { writeMigrations } from "./building/migrations.ts";
import { parseArguments } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";

await main(async () => {
  parseArguments({}, "npm run build");
  await writeMigrations();
});
