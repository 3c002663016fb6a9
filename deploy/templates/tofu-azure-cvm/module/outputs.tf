output "instance_id" {
  description = "The VM, as Azure calls it"
  value       = azurerm_linux_virtual_machine.sandbox.id
}

output "console" {
  description = "Where an operator finds the serial console's log"
  value       = "az vm boot-diagnostics get-boot-log --ids ${azurerm_linux_virtual_machine.sandbox.id}"
}
