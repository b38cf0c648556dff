variable "region" {
  type = string
}

variable "bucket" {
  description = "The name of the bucket, which is also that of the function."
  type        = string
}

variable "token" {
  description = "BULWARK_AUDIT_SINK_TOKEN: openssl rand -hex 32. Only its hash leaves the state."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.token) >= 32
    error_message = "The token has at least 32 characters."
  }
}

variable "lock_mode" {
  type    = string
  default = "COMPLIANCE"

  validation {
    condition     = contains(["COMPLIANCE", "GOVERNANCE"], var.lock_mode)
    error_message = "COMPLIANCE or GOVERNANCE."
  }
}

variable "lock_days" {
  description = "How long a checkpoint cannot be deleted: at least as long as the log is kept."
  type        = number
  default     = 2557
}
