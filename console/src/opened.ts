import { useNavigate, useSearch } from "@tanstack/react-router";

/** Reads the dialog that an address opens, such as `?open=invite`. */
export function readOpened({ open }: Record<string, unknown>): { open?: string } {
  return typeof open === "string" ? { open } : {};
}

/** Whether the dialog of that name is open, which stands in the address. */
export function useOpened(name: string): [boolean, (open: boolean) => void] {
  const { open } = useSearch({ from: "/shell" });
  const navigate = useNavigate();
  return [
    open === name,
    (next) =>
      void navigate({
        to: ".",
        search: ({ open: _, ...others }) => next ? { ...others, open: name } : others,
        replace: true,
      }),
  ];
}
