import assert from "node:assert/strict";
import { asPostgrestError, httpStatus } from "./postgrest_errors.ts";

Deno.test("httpStatus() gives the SQLSTATEs that we raise the status PostgREST gives them", () => {
  const expected = {
    "22023": 400,
    "23505": 409,
    "23514": 400,
    "40001": 500,
    "55000": 500,
    "57014": 500,
    P0001: 400,
    P0002: 500,
  };
  for (const [code, status] of Object.entries(expected)) {
    assert.equal(httpStatus(code), status, code);
  }
});

Deno.test("httpStatus() leaves to Lite what it does itself", () => {
  for (const code of ["42501", "42P01", "PT404", "PGRST"]) assert.equal(httpStatus(code), null);
});

Deno.test("asPostgrestError() keeps code, message, detail and hint", () => {
  const thrown = Object.assign(new Error("Cannot do it: no"), {
    code: "22023",
    detail: "RBAC_NO",
    hint: "Try",
  });
  const answer = asPostgrestError(thrown) as { code: string; message: string; detail: string };
  assert.equal(answer.code, "PGRST");
  assert.deepEqual(JSON.parse(answer.message), {
    code: "22023",
    message: "Cannot do it: no",
    details: "RBAC_NO",
    hint: "Try",
  });
  assert.deepEqual(JSON.parse(answer.detail), { status: 400, headers: {} });
});

Deno.test("asPostgrestError() passes on what is no database error", () => {
  const thrown = new Error("socket closed");
  assert.equal(asPostgrestError(thrown), thrown);
});

Deno.test("asPostgrestError() answers 503 while the database is away, and names no host", () => {
  for (const code of ["ECONNREFUSED", "CONNECTION_CLOSED", "CONNECT_TIMEOUT", "57P01", "57P03"]) {
    const thrown = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:5432"), { code });
    const answer = asPostgrestError(thrown) as { code: string; message: string; detail: string };
    assert.equal(answer.code, "PGRST");
    assert.equal(JSON.parse(answer.message).code, "PGRST001");
    assert.ok(!answer.message.includes("127.0.0.1"));
    assert.equal(JSON.parse(answer.detail).status, 503);
  }
});
