"""Tests of the statistics of deployment alarms."""
