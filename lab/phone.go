package lab

// phoneHeader names the endpoint a phone's request comes from.
const phoneHeader = "X-Lab-Phone"
