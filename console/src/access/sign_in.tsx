import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate, useRouter, useSearch } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { known, queries } from "../connection.ts";
import { entrance } from "../entrance.ts";
import { presentDevice } from "../trusted_device.ts";
import { Field, Problem } from "../ui/parts.tsx";
import { Frame } from "./frame.tsx";

export function SignIn() {
  const { to, ended } = useSearch({ from: "/sign-in" });
  const navigate = useNavigate();
  const router = useRouter();
  const signIn = useMutation({
    ...queries.signIn(),
    onSuccess: async ({ user }) => {
      let me = await known.fetchQuery(queries.whoami());
      if (me.mfa.enrolled && !me.mfa.satisfied && await presentDevice(user.id)) {
        me = await known.fetchQuery({ ...queries.whoami(), staleTime: 0 });
      }
      if (me.mfa.enrolled && !me.mfa.satisfied) {
        await navigate({ to: "/second-factor", search: to ? { to } : {} });
      } else {
        router.history.push(await entrance(to));
      }
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const text = (name: string) => String(fields.get(name) ?? "");
    signIn.mutate([{ email: text("email").trim(), password: text("password") }]);
  };
  return (
    <Frame title="Sign in">
      {ended && (
        <p role="status" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          Your session has ended. Sign in again.
        </p>
      )}
      {new URLSearchParams(location.search).has("code") && (
        <p role="status" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          A link works only in the browser in which you asked for it.
        </p>
      )}
      <form onSubmit={submit} className="grid gap-4">
        <Field
          label="E-mail"
          name="email"
          type="email"
          autoComplete="username"
          required
          autoFocus
        />
        <Field
          label="Password"
          name="password"
          type="password"
          autoComplete="current-password"
          required
        />
        <Problem error={signIn.error} />
        <button type="submit" className="button primary" disabled={signIn.isPending}>
          Sign in
        </button>
      </form>
      <div className="flex flex-wrap justify-between gap-x-4">
        <p className="text-quiet">
          No account yet?{" "}
          <Link to="/sign-up" search={to ? { to } : {}} className="link">Create one</Link>
        </p>
        <Link to="/recover" className="link">Forgot your password?</Link>
      </div>
    </Frame>
  );
}
