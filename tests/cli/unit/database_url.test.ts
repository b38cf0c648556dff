import assert from "node:assert/strict";
import { withDatabase } from "../../../cli/database.ts";
import { connectionOf } from "../../../cli/database_url.ts";
import { CliError } from "../../../cli/errors.ts";

const host = "db.example.com:5432/postgres";

Deno.test("connectionOf() asks for encryption, unless the address says how", () => {
  for (const start of ["postgres", "postgresql"]) {
    assert.deepEqual(connectionOf(`${start}://ada:pw@${host}`), { ssl: "prefer" });
  }
  assert.deepEqual(connectionOf("postgresql://ada@one:1,two:2/postgres"), { ssl: "prefer" });
  assert.deepEqual(connectionOf("postgresql:///postgres?host=/tmp"), { ssl: "prefer" });
  assert.deepEqual(connectionOf(`postgresql://ada:pw@${host}?sslmode=verify-full`), {});
  assert.deepEqual(connectionOf(`postgresql://ada:pw@${host}?sslmode=disable`), {});
});

Deno.test("connectionOf() refuses another address than of Postgres, and repeats nothing of it", () => {
  const wrong = ["", " ", "hunter2", `http://ada:hunter2@${host}`, `ada:hunter2@${host}`];
  const unescaped = ["hunter2#", "hunter2/", "hunter2?", "hunter2%zz"]
    .map((password) => `postgresql://ada:${password}@${host}`);
  for (const address of [...wrong, ...unescaped]) {
    assert.throws(
      () => connectionOf(address),
      (thrown: CliError) =>
        thrown.code === "CLI_USAGE" && thrown.exitCode === 2 && !/hunter2/.test(thrown.message),
      address,
    );
  }
});

Deno.test("withDatabase() offers encryption before it says who asks", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const first = (async () => {
    const connection = await listener.accept();
    listener.close();
    const message = new Uint8Array(8);
    await connection.read(message);
    // This server has no encryption, and goes.
    await connection.write(new TextEncoder().encode("N"));
    await connection.read(new Uint8Array(1024));
    connection.close();
    return message;
  })();
  const url = `postgresql://ada:hunter2@127.0.0.1:${listener.addr.port}/postgres`;
  await assert.rejects(withDatabase(url, (sql) => sql`select 1`), /Cannot ask the database/);
  // SSLRequest of the protocol of Postgres.
  assert.deepEqual([...await first], [0, 0, 0, 8, 4, 210, 22, 47]);
});
