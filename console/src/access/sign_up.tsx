import type { AuthError } from "@supabase/auth-js";
import { useMutation } from "@tanstack/react-query";
import { Link, useRouter, useSearch } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { auth } from "../connection.ts";
import { Field } from "../ui/parts.tsx";
import { AuthProblem, Frame } from "./frame.tsx";

export function SignUp() {
  const { to } = useSearch({ from: "/sign-up" });
  const router = useRouter();
  const signUp = useMutation<boolean, AuthError, { email: string; password: string }>({
    gcTime: 0,
    mutationFn: async (credentials) => {
      const { data, error } = await auth.signUp(credentials);
      if (error) throw error;
      return data.session !== null;
    },
    onSuccess: (signedIn) => {
      if (signedIn) router.history.push(to ?? "/");
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const text = (name: string) => String(fields.get(name) ?? "");
    signUp.mutate({ email: text("email").trim(), password: text("password") });
  };
  const signIn = <Link to="/sign-in" search={to ? { to } : {}} className="link">Sign in</Link>;
  if (signUp.data === false) {
    return (
      <Frame title="Confirm your address">
        <p>
          A message with a link is on its way to{" "}
          {signUp.variables.email}. Open the link, then sign in.
        </p>
        <p>{signIn}</p>
      </Frame>
    );
  }
  return (
    <Frame title="Create an account">
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
          autoComplete="new-password"
          minLength={8}
          required
          hint="At least 8 characters; a password manager makes a good one"
        />
        <AuthProblem error={signUp.error} />
        <button type="submit" className="button primary" disabled={signUp.isPending}>
          Create account
        </button>
      </form>
      <p className="text-quiet">Have an account? {signIn}</p>
    </Frame>
  );
}
