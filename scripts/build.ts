/** `npm run build`: writes supabase/migrations from supabase/schemas. */
import { writeMigrations } from "./building/migrations.ts";
import { main } from "./stack/main.ts";

await main(writeMigrations);
