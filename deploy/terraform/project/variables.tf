variable "supabase_access_token" {
  description = "An access token of the account that owns the project."
  type        = string
  sensitive   = true
}

variable "organization_id" {
  description = "The organization's slug, from the dashboard's address."
  type        = string
}

variable "project_name" {
  type = string
}

variable "region" {
  type = string
}

variable "instance_size" {
  type    = string
  default = "small"
}

variable "database_password" {
  type      = string
  sensitive = true
}

variable "database_url" {
  description = "The connection string of postgres, in session mode, for migrations: after a first apply with -target=supabase_project.this it is in the dashboard."
  type        = string
  sensitive   = true
}

variable "database_networks" {
  description = "The networks from which the database and its pooler are reachable."
  type        = list(string)
}

variable "site_url" {
  type = string
}

variable "exposed_schemas" {
  description = "The schemas of yours that the Data API serves."
  type        = list(string)
  default     = ["public", "graphql_public"]
}

variable "project_folder" {
  description = "The folder in which `bulwark init` ran."
  type        = string
}

variable "bulwark_secrets" {
  description = "Secrets of the functions by name, as docs/deployment.md lists them. They are stored in the state."
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "verification_hooks" {
  description = "Whether Auth asks Bulwark about each password and code. Needs a Team or Enterprise plan."
  type        = bool
  default     = false
}
