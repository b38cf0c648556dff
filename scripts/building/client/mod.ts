/** The generated types that need no database: those of the client library, and those of proofs. */
import { clientCodes, codesModule, textsModule } from "./codes.ts";
import { format } from "./format.ts";
import { answersModule, inputsModule, proofsModule } from "./functions.ts";

const folder = "clients/js/src/generated";

/** The generated modules, by path. */
export async function builtClient(): Promise<Map<string, string>> {
  const codes = await clientCodes();
  const modules = {
    [`${folder}/codes.ts`]: codesModule(codes),
    [`${folder}/texts.ts`]: textsModule(codes),
    [`${folder}/inputs.ts`]: inputsModule(),
    [`${folder}/answers.ts`]: answersModule(),
    "supabase/functions/_bulwark/audit/proof.types.ts": proofsModule(),
  };
  return new Map(
    await Promise.all(
      Object.entries(modules).map(async ([path, text]) => [path, await format(text)] as const),
    ),
  );
}
