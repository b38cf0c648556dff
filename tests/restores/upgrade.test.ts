/** A project that is upgraded in place keeps its log: sealed on, and verified. */
import assert from "node:assert/strict";
import { connect } from "../../scripts/stack/connection.ts";
import { push } from "../../scripts/testing/push.ts";
import { debian, intact, UpgradedCluster, verify } from "./support.ts";

for (const first of ["seal", "write"] as const) {
  Deno.test({
    name: `AUD-P13: after pg_upgrade the log is sealed on where a ${first} comes first`,
    ignore: debian === null,
    async fn() {
      const project = await UpgradedCluster.start("upgraded");
      try {
        await push(project);
        const before = connect(project.cluster.url("postgres", project.password));
        await before`insert into bulwark.permissions values ('test:sealed', 'x')`;
        await before`select bulwark.seal_audit_log()`;
        await before`insert into bulwark.permissions values ('test:unsealed', 'x')`;
        await before.end();
        await project.upgrade();

        const after = connect(project.cluster.url("postgres", project.password));
        if (first === "write") {
          await after`insert into bulwark.permissions values ('test:first', 'x')`;
        }
        const [seal] = await after`select bulwark.seal_audit_log() as number`;
        assert.ok(seal?.number, "what was left is sealed");
        await after`insert into bulwark.permissions values ('test:later', 'x')`;
        assert.deepEqual(await verify(after), intact);
        const entries = await after`
          select e.resource_id, e.timeline, bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is not null as sealed
          from bulwark.audit_logs e where e.resource_id like 'test:%' order by e.id
        `;
        assert.deepEqual(entries.map((row) => Object.values(row)), [
          ["test:sealed", 1, true],
          ["test:unsealed", 1, true],
          ...(first === "write" ? [["test:first", 2, true]] : []),
          ["test:later", 2, true],
        ]);
        const actions = await after`
          select action from bulwark.audit_logs
          where resource_type = 'bulwark.audit_logs' or event_type = 'security.suspicious_activity'
        `;
        assert.deepEqual(actions.map(({ action }) => action), ["timeline_started"]);
        const [rules] = await after`select bulwark.evaluate_security_rules() as raised`;
        assert.equal(rules?.raised, 0);
        await after.end();
      } finally {
        await project.stop();
      }
    },
  });
}
