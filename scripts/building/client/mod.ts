/** The generated parts of the client library that need no database. */
import { clientCodes, codesModule, textsModule } from "./codes.ts";
import { format } from "./format.ts";
import { answersModule, inputsModule } from "./functions.ts";

const folder = "clients/js/src/generated";

/** The generated modules, by path. */
export async function builtClient(): Promise<Map<string, string>> {
  const codes = await clientCodes();
  const modules = {
    codes: codesModule(codes),
    texts: textsModule(codes),
    inputs: inputsModule(),
    answers: answersModule(),
  };
  return new Map(
    await Promise.all(
      Object.entries(modules).map(async ([name, text]) =>
        [`${folder}/${name}.ts`, await format(text)] as const
      ),
    ),
  );
}
