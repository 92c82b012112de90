"""Where the files of a model come from: folders of the pod, and downloads that are resumed, checked and made once."""
